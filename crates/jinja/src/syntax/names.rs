//! Names of filters, tests, functions and methods that exist nowhere: better told when a model is loaded than at a request.

use std::collections::HashSet;
use std::sync::Arc;

use super::ast::MacroUses;
use crate::error::{Error, Result, shown};
use crate::globals::Builtin;
use crate::methods;

/// Longer strings are not taken for names.
const LONGEST_NAME: usize = 64;

/// What a template speaks of.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Variables that are assigned somewhere: by `set`, `for`, `with`, `macro`, as parameters.
    assigned: HashSet<Arc<str>>,
    /// Variables that are read without being called: perhaps to see whether they are there.
    read: HashSet<Arc<str>>,
    called: Vec<(Arc<str>, usize)>,
    methods: Vec<(Arc<str>, usize)>,
    /// Attributes that are read without being called.
    attributes: HashSet<Arc<str>>,
    /// Strings, names of arguments and of attributes that are set: under these a template may keep a macro, or ask for a filter.
    words: HashSet<Arc<str>>,
    unknown: Vec<(&'static str, Arc<str>, usize)>,
    /// How often the names with a special meaning occurred.
    special: Special,
}

/// The names by which a template can get at what it is given.
#[derive(Debug)]
pub(crate) struct Spoken {
    variables: HashSet<Arc<str>>,
    members: HashSet<Arc<str>>,
}

impl Spoken {
    pub(crate) fn has_variable(&self, name: &str) -> bool {
        self.variables.contains(name)
    }

    pub(crate) fn has_member(&self, name: &str) -> bool {
        self.members.contains(name)
    }
}

/// How often names with a special meaning have occurred up to a place.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Special {
    loops: usize,
    varargs: usize,
    kwargs: usize,
    caller: usize,
}

impl Names {
    pub(super) fn assign(&mut self, name: &Arc<str>) {
        self.assigned.insert(Arc::clone(name));
    }

    pub(super) fn word(&mut self, word: &str) {
        if word.len() <= LONGEST_NAME && !self.words.contains(word) {
            self.words.insert(word.into());
        }
    }

    /// A variable, which may be called where it stands.
    pub(super) fn variable(&mut self, name: &Arc<str>, called: bool, line: usize) {
        match &**name {
            "loop" => self.special.loops += 1,
            "varargs" => self.special.varargs += 1,
            "kwargs" => self.special.kwargs += 1,
            "caller" => self.special.caller += 1,
            _ => {}
        }
        if called {
            self.called.push((Arc::clone(name), line));
        } else {
            self.read.insert(Arc::clone(name));
        }
    }

    pub(super) fn method(&mut self, name: &Arc<str>, line: usize) {
        self.methods.push((Arc::clone(name), line));
    }

    pub(super) fn attribute(&mut self, name: &Arc<str>) {
        self.attributes.insert(Arc::clone(name));
    }

    /// A filter or a test that does not exist.
    pub(super) fn unknown(&mut self, kind: &'static str, name: &Arc<str>, line: usize) {
        self.unknown.push((kind, Arc::clone(name), line));
    }

    pub(super) fn special(&self) -> Special {
        self.special
    }

    /// Whether `loop` occurred since.
    pub(super) fn uses_loop(&self, since: Special) -> bool {
        self.special.loops > since.loops
    }

    pub(super) fn macro_uses(&self, since: Special) -> MacroUses {
        MacroUses {
            varargs: self.special.varargs > since.varargs,
            kwargs: self.special.kwargs > since.kwargs,
            caller: self.special.caller > since.caller,
        }
    }

    pub(super) fn spoken(self) -> Spoken {
        // `map(attribute='function.name')` speaks of both.
        let parts: Vec<Arc<str>> = self
            .words
            .iter()
            .filter(|word| word.contains('.'))
            .flat_map(|word| word.split('.').map(Arc::from))
            .collect();
        let called = self.called.into_iter().map(|(name, _)| name);
        Spoken {
            variables: self.read.into_iter().chain(called).collect(),
            members: self.words.into_iter().chain(parts).chain(self.attributes).collect(),
        }
    }

    /// # Errors
    /// If something is called by a name that exists nowhere, and that the template cannot have made sure of.
    pub(super) fn check(&self) -> Result<()> {
        let unguarded = |name: &Arc<str>| !self.words.contains(name);
        if let Some((kind, name, line)) = self.unknown.iter().find(|(_, name, _)| unguarded(name)) {
            return Err(Error::syntax(*line, format!("there is no {kind} named '{}'", shown(name))));
        }
        let special = ["caller", "super", "self", "loop", "varargs", "kwargs"];
        for (name, line) in &self.called {
            let known = Builtin::exists(name)
                || special.contains(&&**name)
                || self.assigned.contains(name)
                || self.read.contains(name);
            if &**name == "lipsum" && !self.assigned.contains(name) {
                return Err(Error::syntax(*line, "the function 'lipsum' is not supported: a prompt has no use for it"));
            }
            if !known {
                return Err(Error::syntax(*line, format!("there is no function named '{}'", shown(name))));
            }
        }
        let unknown = |(name, _): &&(Arc<str>, usize)| !methods::exists(name) && unguarded(name);
        match self.methods.iter().find(unknown) {
            Some((name, line)) => Err(Error::syntax(
                *line,
                match methods::instead(name) {
                    Some(instead) => format!("the method '{name}' is not supported: {instead}"),
                    None => format!("there is no method named '{}'", shown(name)),
                },
            )),
            None => Ok(()),
        }
    }
}
