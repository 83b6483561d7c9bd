//! The forward pass: it runs whatever layers the plan made, and may be left between two of them.

use std::fmt;
use std::sync::Arc;

use parkade_kernels::{KvCache, KvLayout, KvType, MatrixStack, StateCache, Team};

use crate::batch::{Batch, BatchCheck, Extent, Outputs, PassCost, Sequences};
use crate::config::ModelConfig;
use crate::error::ModelError;
use crate::families::describe_within;
use crate::gguf::Gguf;
use crate::loader::Loader;
use crate::parts::embedding::Embedding;
use crate::parts::experts::Experts;
use crate::parts::head::Head;
use crate::parts::layer::Layer;
use crate::parts::linear::Linear;
use crate::parts::scratch::Scratch;
use crate::plan::{Plan, RopePlan};
use crate::pooling::Embedder;

/// A loaded model: weights that are ready for the kernels, and scratch memory for one forward pass at a time.
pub struct Model {
    config: ModelConfig,
    plan: Plan,
    kv_layout: KvLayout,
    embedding: Embedding,
    layers: Vec<Layer>,
    head: Option<Head>,
    team: Arc<Team>,
    check: BatchCheck,
    /// Memory of passes that have ended, for the next ones.
    spare: Vec<Scratch>,
}

/// A forward pass that was left between two layers. It holds what has been computed of it; the batch is the caller's to keep.
pub struct PausedPass {
    scratch: Scratch,
    /// The layer that comes next.
    layer: usize,
    spans: Vec<Extent>,
}

impl fmt::Debug for PausedPass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.scratch.rows;
        f.debug_struct("PausedPass").field("layer", &self.layer).field("rows", &rows).finish_non_exhaustive()
    }
}

impl Model {
    /// Loads the model of a file: finds, checks and reads all tensors and repacks them for the kernels. The file is not needed
    /// afterwards.
    ///
    /// # Errors
    /// If the architecture is not supported, the geometry makes no sense, a tensor is missing or has another shape than it should,
    /// or the file cannot be read or was changed meanwhile.
    pub fn load(gguf: &Gguf, team: Arc<Team>) -> Result<Model, ModelError> {
        Model::load_within(gguf, None, team)
    }

    /// As [`load`](Self::load), for sequences of up to `context` positions, which some models compute otherwise than longer ones.
    ///
    /// # Errors
    /// As with [`load`](Self::load), or if the model was not made for so many.
    pub fn load_within(gguf: &Gguf, context: Option<usize>, team: Arc<Team>) -> Result<Model, ModelError> {
        let (config, plan) = describe_within(gguf, context)?;
        let loader = Loader::new(gguf, &team);
        let model = Model::build(&loader, config, plan, &team)?;
        loader.finish(&model.config.architecture, model.config.skipped_layers())?;
        Ok(model)
    }

    /// Makes the model of what a loader gives.
    pub(crate) fn build(
        loader: &Loader<'_>,
        config: ModelConfig,
        plan: Plan,
        team: &Arc<Team>,
    ) -> Result<Model, ModelError> {
        let team = Arc::clone(team);
        let embedding = Embedding::load(loader, &config, &plan)?;
        let table = |rope: &RopePlan| rope.table(loader, config.context_length).map(Arc::new);
        let ropes: Vec<_> = plan.ropes.iter().map(table).collect::<Result<_, _>>()?;
        let layer = |index| Layer::load(loader, index, &config, &plan, &ropes);
        let layers = (0..config.layers).map(layer).collect::<Result<_, _>>()?;
        let head = plan.embeds.as_ref().map(|plan| Head::load(loader, config.embedding, &plan.head)).transpose()?;
        let kv_layout = KvLayout::new(&plan.kv_layers(config.context_length));
        Ok(Model {
            config,
            plan,
            kv_layout,
            embedding,
            layers,
            head,
            team,
            check: BatchCheck::default(),
            spare: Vec::new(),
        })
    }

    /// The model's geometry.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// What the model is made of.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What the model makes of texts, if it does not go on with them.
    pub fn embedder(&self) -> Option<Embedder> {
        let (plan, head) = (self.plan.embeds.as_ref()?, self.head.as_ref()?);
        Some(Embedder {
            pooling: plan.pooling,
            embeds: plan.embeds,
            is_whole: self.plan.is_two_way(),
            hidden: self.config.embedding,
            outputs: head.outputs(),
            probabilities: head.gives_probabilities(),
        })
    }

    /// Replaces the pooled hidden states of texts, `[texts][embedding]`, by what the model makes of them, `[texts][outputs]`: embeddings, whose length
    /// is whatever it is, or scores.
    pub fn finish(&self, texts: usize, vectors: &mut Vec<f32>) {
        if let (Some(head), true) = (&self.head, texts > 0) {
            head.run(&self.team, texts, vectors);
        }
    }

    /// Memory that the weights take, in bytes.
    pub fn weight_bytes(&self) -> usize {
        let linears = self.linears().map(Linear::memory_bytes);
        let stacks = self.stacks().map(MatrixStack::memory_bytes);
        let experts = self.experts().map(Experts::memory_bytes);
        let head = self.head.iter().flat_map(Head::linears).map(Linear::memory_bytes);
        self.embedding.memory_bytes() + linears.chain(stacks).chain(experts).chain(head).sum::<usize>()
    }

    /// What a pass over so many rows asks of the machine, with the logits of `logit_rows` of them. Of experts it is what rows ask that choose
    /// evenly. Attention is not part of it.
    pub fn pass_cost(&self, rows: usize, logit_rows: usize) -> PassCost {
        let output = self.embedding.output().filter(|_| logit_rows > 0);
        let linears = self.linears().chain(output).map(Linear::memory_bytes);
        let each = self.linears().map(Linear::products).chain(self.stacks().map(MatrixStack::products));
        let mut cost = PassCost {
            weight_bytes: linears.chain(self.stacks().map(MatrixStack::memory_bytes)).sum(),
            products: rows * each.sum::<usize>() + logit_rows * output.map_or(0, Linear::products),
        };
        for PassCost { weight_bytes, products } in self.experts().map(|experts| experts.cost(rows)) {
            cost.weight_bytes += weight_bytes;
            cost.products += products;
        }
        cost
    }

    /// The matrices that every row meets.
    fn linears(&self) -> impl Iterator<Item = &Linear> {
        self.layers.iter().flat_map(Layer::linears).chain(self.embedding.projection())
    }

    /// Those of which every row meets all members, in attention.
    fn stacks(&self) -> impl Iterator<Item = &MatrixStack> {
        self.layers.iter().flat_map(Layer::stacks).chain(self.embedding.stacks())
    }

    fn experts(&self) -> impl Iterator<Item = &Experts> {
        self.layers.iter().filter_map(Layer::experts)
    }

    /// Which layers' keys and values share a block of a KV cache, and what it takes.
    pub fn kv_layout(&self) -> &KvLayout {
        &self.kv_layout
    }

    /// A KV cache of this model's geometry.
    ///
    /// # Errors
    /// If there is not enough memory.
    pub fn new_kv_cache(&self, blocks: usize, block_len: usize, ty: KvType) -> Result<KvCache, ModelError> {
        KvCache::new(self.kv_layout.clone(), blocks, block_len, ty)
            .map_err(|source| ModelError::Kernel { what: format!("KV cache of {blocks} blocks"), source })
    }

    /// Bytes of what the layers carry from token to token, for one sequence; 0 for most models.
    pub fn state_bytes(&self) -> usize {
        self.plan.state_values() * size_of::<f32>()
    }

    /// Slots for so many states of this model's sequences.
    ///
    /// # Errors
    /// If there is not enough memory.
    pub fn new_states(&self, slots: usize) -> Result<StateCache, ModelError> {
        StateCache::new(slots, self.plan.state_values())
            .map_err(|source| ModelError::Kernel { what: format!("{slots} states of sequences"), source })
    }

    /// Runs one batch: appends the keys and values of its rows to `kv`, takes them into their `states`, and sets `out` to what [`Batch::outputs`] asks for.
    ///
    /// A row's result depends only on its own sequence: not on the other rows, on how a prompt was cut into batches, on which
    /// blocks it lies in, or on the number of threads, bit for bit.
    ///
    /// # Errors
    /// If the batch is malformed ([`ModelError::Batch`], [`ModelError::Token`], [`ModelError::Context`]) or `kv` or `states` is no cache of this
    /// model. The caches are unchanged then.
    pub fn forward(
        &mut self,
        batch: &Batch<'_>,
        kv: &mut KvCache,
        states: &mut StateCache,
        out: &mut Vec<f32>,
    ) -> Result<(), ModelError> {
        let paused = self.forward_until(batch, kv, states, out, &|| false)?;
        debug_assert!(paused.is_none(), "nobody said stop");
        Ok(())
    }

    /// As [`forward`](Self::forward), but asks `stop` between the layers. When that says yes, the pass is left where it is: other batches can
    /// be run, and [`resume`](Self::resume) goes on with it. Its results are then what they would have been anyway, bit for bit. Meanwhile the states
    /// that it writes are neither what they were nor what they will be; those that it only reads are whole.
    ///
    /// # Errors
    /// As with [`forward`](Self::forward).
    pub fn forward_until(
        &mut self,
        batch: &Batch<'_>,
        kv: &mut KvCache,
        states: &mut StateCache,
        out: &mut Vec<f32>,
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<PausedPass>, ModelError> {
        self.check_caches(kv, states)?;
        self.check_plan(batch)?;
        self.check.check(batch, &self.config, kv, states)?;
        if batch.tokens.is_empty() {
            out.clear();
            return Ok(None);
        }
        let mut scratch = self.spare.pop().unwrap_or_default();
        scratch.start(batch.spans);
        self.embedding.embed(&self.team, batch.tokens, &mut scratch)?;
        let spans = batch.spans.iter().map(Extent::of).collect();
        Ok(self.go_on(PausedPass { scratch, layer: 0, spans }, batch, kv, states, out, stop))
    }

    /// Goes on with a pass that was left. `batch` is the one that it began with, but spans may be missing: their rows are
    /// computed to no purpose and touch the cache no more. The sequences that are left must be as they were; blocks that the pass has
    /// not read or written may have changed.
    ///
    /// # Errors
    /// If the batch is not the one that the pass began with, or is malformed. The pass is gone then.
    pub fn resume(
        &mut self,
        paused: PausedPass,
        batch: &Batch<'_>,
        kv: &mut KvCache,
        states: &mut StateCache,
        out: &mut Vec<f32>,
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<PausedPass>, ModelError> {
        self.check_caches(kv, states)?;
        self.check.check_rest(batch, paused.scratch.rows, &paused.spans, &self.config, kv, states)?;
        Ok(self.go_on(paused, batch, kv, states, out, stop))
    }

    /// Gives up a pass that was left.
    pub fn abandon(&mut self, paused: PausedPass) {
        self.spare.push(paused.scratch);
    }

    fn go_on(
        &mut self,
        mut paused: PausedPass,
        batch: &Batch<'_>,
        kv: &mut KvCache,
        states: &mut StateCache,
        out: &mut Vec<f32>,
        stop: &dyn Fn() -> bool,
    ) -> Option<PausedPass> {
        let Model { config, plan, embedding, layers, team, spare, .. } = self;
        let scratch = &mut paused.scratch;
        let mut sequences = Sequences { spans: batch.spans, slots: batch.states, kv, states };
        for (index, layer) in layers.iter().enumerate().skip(paused.layer) {
            // One layer at least: who goes on gets on.
            if index > paused.layer && stop() {
                paused.layer = index;
                return Some(paused);
            }
            layer.attend(team, &mut sequences, scratch);
            if index + 1 == layers.len() {
                // Past the last attention, rows that nobody wants anything of matter to no one.
                let width = if layer.attends() { config.heads * plan.layers[index].attention.value_dim() } else { 0 };
                scratch.keep(batch.outputs.rows(), config.embedding, width);
            }
            layer.finish(team, scratch);
        }
        embedding.end(team, scratch);
        // What the vector held before stays in it, to be overwritten: clearing megabytes every step would be for nothing.
        out.resize(batch.outputs.values(config), 0.0);
        match batch.outputs {
            Outputs::Logits(_) => embedding.logits(team, scratch, out),
            Outputs::Hidden(_) => embedding.hidden(team, scratch, out),
        }
        spare.push(paused.scratch);
        None
    }

    /// Whether the model can do what a batch asks for.
    fn check_plan(&self, batch: &Batch<'_>) -> Result<(), ModelError> {
        if matches!(batch.outputs, Outputs::Logits(_)) && self.embedding.output().is_none() {
            let message = "the model makes embeddings or scores of texts and has no logits; ask for hidden states";
            return Err(ModelError::Batch(message.to_owned()));
        }
        match batch.spans.iter().position(|span| span.past > 0) {
            Some(i) if self.plan.is_two_way() => Err(ModelError::Batch(format!(
                "span {i} goes on with a text; the model's tokens see those behind them, so each text must be whole in one pass"
            ))),
            _ => Ok(()),
        }
    }

    fn check_caches(&self, kv: &KvCache, states: &StateCache) -> Result<(), ModelError> {
        if self.kv_layout != *kv.layout() {
            return Err(ModelError::KvCache { found: kv.layout().to_string(), expected: self.kv_layout.to_string() });
        }
        let (found, expected) = (states.values(), self.plan.state_values());
        if found != expected {
            return Err(ModelError::StateCache { found, expected });
        }
        Ok(())
    }
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model").field("config", &self.config).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use parkade_kernels::Span;

    use super::*;

    /// The bits of the logits after a text, by a plan that was changed.
    fn logits(change: impl FnOnce(&mut Plan)) -> Vec<u32> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/oracle/tiny/llama-F32.gguf");
        let gguf = Gguf::open(Path::new(path)).unwrap();
        let (config, mut plan) = crate::describe(&gguf).unwrap();
        assert_eq!(plan.layers.len(), 2);
        change(&mut plan);
        let team = Arc::new(Team::new(1));
        let mut model = Model::build(&Loader::new(&gguf, &team), config, plan, &team).unwrap();
        let table: Vec<u32> = (0..).take(model.kv_layout().groups()).collect();
        let mut kv = model.new_kv_cache(table.len(), 16, KvType::F32).unwrap();
        let mut states = model.new_states(0).unwrap();
        let tokens: Vec<_> = (1..13).collect();
        let spans = [Span { first_row: 0, rows: tokens.len(), past: 0, blocks: &table }];
        let batch = Batch { tokens: &tokens, spans: &spans, states: &[], outputs: Outputs::Logits(&[11]) };
        let mut out = Vec::new();
        model.forward(&batch, &mut kv, &mut states, &mut out).unwrap();
        out.iter().map(|x| x.to_bits()).collect()
    }

    /// All results differ by whether the change was made to no layer, the first, the second, or both.
    fn each_layer_has_its_own(change: impl Fn(&mut Plan, usize)) -> [Vec<u32>; 4] {
        let results = [&[][..], &[0], &[1], &[0, 1]]
            .map(|layers: &[usize]| logits(|plan| layers.iter().for_each(|&layer| change(plan, layer))));
        for (i, one) in results.iter().enumerate() {
            assert!(!results[..i].contains(one), "two plans gave the same");
        }
        results
    }

    #[test]
    fn each_layer_has_its_own_window() {
        each_layer_has_its_own(|plan, layer| plan.layers[layer].attention.window = Some(3));
    }

    #[test]
    fn each_layer_has_its_own_rotations() {
        let slow = |plan: &Plan| RopePlan { freq_base: 1e6, ..plan.ropes[0].clone() };
        let results = each_layer_has_its_own(|plan, layer| {
            plan.ropes.push(slow(plan));
            plan.layers[layer].attention.rope = Some(1);
        });
        // A second table for all layers is what a first one with its numbers is.
        assert!(results[3] == logits(|plan| plan.ropes[0] = slow(plan)));
    }

    #[test]
    fn each_layer_has_its_own_factor_of_the_scores() {
        each_layer_has_its_own(|plan, layer| plan.layers[layer].attention.scale *= 2.0);
    }
}
