//! The tree of a template.
//!
//! Chains (`a + b + c`, `x.y | f | g`, `a or b or c`, `elif`) are lists in one node, so that the tree is only as deep as
//! brackets and blocks are nested: the parser bounds that.

use std::sync::Arc;

use crate::filters::Filter;
use crate::tests::Test;
use crate::value::text::Text;

/// Statements one after another.
pub(crate) type Body = Vec<Statement>;

/// What stands outside of expressions.
#[derive(Debug)]
pub(crate) enum Statement {
    /// Text between tags.
    Text(Text),
    /// `{{ ... }}`
    Print {
        value: Expr,
        line: usize,
    },
    For(Arc<For>),
    If {
        arms: Vec<(Expr, Body)>,
        otherwise: Body,
        line: usize,
    },
    Set {
        target: Target,
        value: Expr,
        line: usize,
    },
    SetBlock {
        target: Target,
        filters: Vec<Link>,
        body: Body,
        line: usize,
    },
    Macro(Arc<Macro>),
    Call(Box<CallBlock>),
    Filter {
        filters: Vec<Link>,
        body: Body,
        line: usize,
    },
    With {
        bindings: Vec<(Target, Expr)>,
        body: Body,
        line: usize,
    },
    /// A scope of its own that does nothing else: `{% generation %}`, `{% autoescape false %}`.
    Scope(Body),
    Block(Arc<Block>),
    Break,
    Continue,
}

/// `{% for %}`
#[derive(Debug)]
pub(crate) struct For {
    pub(crate) target: Target,
    pub(crate) iterable: Expr,
    pub(crate) filter: Option<Expr>,
    pub(crate) body: Body,
    pub(crate) otherwise: Body,
    pub(crate) recursive: bool,
    /// Whether the body speaks of `loop`.
    pub(crate) uses_loop: bool,
    pub(crate) line: usize,
}

/// `{% macro %}`, and the body of `{% call %}`.
#[derive(Debug)]
pub(crate) struct Macro {
    pub(crate) name: Arc<str>,
    pub(crate) parameters: Vec<(Arc<str>, Option<Expr>)>,
    pub(crate) body: Body,
    pub(crate) uses: MacroUses,
}

/// Which of the special variables of a macro its body speaks of: only then it takes what they hold.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MacroUses {
    pub(crate) varargs: bool,
    pub(crate) kwargs: bool,
    pub(crate) caller: bool,
}

/// `{% call(parameters) callee(arguments) %}`
#[derive(Debug)]
pub(crate) struct CallBlock {
    pub(crate) callee: Expr,
    pub(crate) arguments: Box<Arguments>,
    pub(crate) caller: Arc<Macro>,
    pub(crate) line: usize,
}

/// `{% block %}`
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) name: Arc<str>,
    /// Whether it sees the variables around it, and not only those at the top.
    pub(crate) scoped: bool,
    pub(crate) body: Body,
}

/// What is assigned to.
#[derive(Debug)]
pub(crate) enum Target {
    Name(Arc<str>),
    Attribute { namespace: Arc<str>, attribute: Arc<str> },
    Tuple(Vec<Target>),
}

/// A literal.
#[derive(Debug, Clone)]
pub(crate) enum Const {
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(Text),
}

#[derive(Debug)]
pub(crate) enum Expr {
    Const(Const),
    Name(Arc<str>),
    List(Vec<Expr>),
    Tuple(Vec<Expr>),
    Dict(Vec<(Expr, Expr)>),
    /// A value and what is done with it, from left to right.
    Chain(Box<Expr>, Vec<Link>),
    Signs(Vec<Sign>, Box<Expr>),
    /// One `not`, or (`not not`) only the truth of a value.
    Truth {
        negated: bool,
        value: Box<Expr>,
    },
    Arithmetic(Box<Expr>, Vec<(Arithmetic, Expr)>),
    Concat(Vec<Expr>),
    Compare(Box<Expr>, Vec<(Comparison, Expr)>),
    And(Vec<Expr>),
    Or(Vec<Expr>),
    /// `value if test else ...`: the first value whose test holds.
    Cond {
        arms: Vec<(Expr, Expr)>,
        otherwise: Option<Box<Expr>>,
        line: usize,
    },
}

/// One part of a chain.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) line: usize,
    pub(crate) what: LinkKind,
}

#[derive(Debug)]
pub(crate) enum LinkKind {
    Attribute(Arc<str>),
    Item(Box<Expr>),
    Slice(Box<Slice>),
    Call(Box<Arguments>),
    Filter { name: Arc<str>, filter: Option<Filter>, arguments: Option<Box<Arguments>> },
    Test { name: Arc<str>, test: Option<Test>, arguments: Option<Box<Arguments>>, negated: bool },
}

/// `[from:to:step]`
#[derive(Debug)]
pub(crate) struct Slice {
    pub(crate) from: Option<Expr>,
    pub(crate) to: Option<Expr>,
    pub(crate) step: Option<Expr>,
}

/// `(a, b, name=c, *d, **e)`
#[derive(Debug, Default)]
pub(crate) struct Arguments {
    pub(crate) positional: Vec<Expr>,
    pub(crate) named: Vec<(Arc<str>, Expr)>,
    pub(crate) more_positional: Option<Expr>,
    pub(crate) more_named: Option<Expr>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sign {
    Plus,
    Minus,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    Add,
    Sub,
    Mul,
    Div,
    FloorDiv,
    Mod,
    Pow,
}

impl Arithmetic {
    pub(crate) fn symbol(self) -> &'static str {
        match self {
            Arithmetic::Add => "+",
            Arithmetic::Sub => "-",
            Arithmetic::Mul => "*",
            Arithmetic::Div => "/",
            Arithmetic::FloorDiv => "//",
            Arithmetic::Mod => "%",
            Arithmetic::Pow => "** or pow()",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    In,
    NotIn,
}
