//! What the model of a file would be and take, found without reading its weights.

use std::sync::Arc;

use parkade_kernels::{KvLayout, Team};

use crate::batch::PassCost;
use crate::config::ModelConfig;
use crate::error::ModelError;
use crate::families::describe_within;
use crate::forward::Model;
use crate::gguf::Gguf;
use crate::loader::{Found, Loader};

/// What the model of a file would be and take, found without reading its weights.
pub struct Survey {
    /// Without weights. `None` if not even its plan could be made.
    hollow: Option<Model>,
    /// Memory of what is not in a matrix.
    raw_bytes: usize,
    problems: Vec<ModelError>,
}

impl Survey {
    /// Looks at a file, for sequences of up to `context` positions. Matrices are looked for and not read, so that it takes no time and no memory.
    pub fn of(gguf: &Gguf, context: Option<usize>) -> Survey {
        let (config, plan) = match describe_within(gguf, context) {
            Ok(described) => described,
            Err(error @ ModelError::ContextSize { .. }) => {
                let mut survey = Survey::of(gguf, None);
                survey.problems.insert(0, error);
                return survey;
            }
            Err(error) => return Survey { hollow: None, raw_bytes: 0, problems: vec![error] },
        };
        let (found, team) = (Found::default(), Arc::new(Team::new(1)));
        let loader = Loader::survey(gguf, &team, &found);
        let (architecture, skipped) = (config.architecture.clone(), config.skipped_layers());
        let model = Model::build(&loader, config, plan, &team);
        let unused = loader.finish(&architecture, skipped);
        let mut problems = found.problems.take();
        let hollow = model.map_err(|error| problems.push(error)).ok();
        problems.extend(unused.err());
        Survey { hollow, raw_bytes: found.raw_bytes.get(), problems }
    }

    /// All that is wrong with the model; nothing if it can be loaded.
    pub fn problems(&self) -> &[ModelError] {
        &self.problems
    }

    /// The geometry, if it makes sense.
    pub fn config(&self) -> Option<&ModelConfig> {
        self.hollow.as_ref().map(Model::config)
    }

    /// Memory that the weights would take, in bytes.
    pub fn weight_bytes(&self) -> usize {
        self.hollow.as_ref().map_or(0, |model| model.weight_bytes() + self.raw_bytes)
    }

    /// As [`Model::kv_layout`].
    pub fn kv_layout(&self) -> Option<&KvLayout> {
        self.hollow.as_ref().map(Model::kv_layout)
    }

    /// As [`Model::state_bytes`].
    pub fn state_bytes(&self) -> usize {
        self.hollow.as_ref().map_or(0, Model::state_bytes)
    }

    /// As [`Model::pass_cost`].
    pub fn pass_cost(&self, rows: usize, logit_rows: usize) -> Option<PassCost> {
        self.hollow.as_ref().map(|model| model.pass_cost(rows, logit_rows))
    }
}
