//! Filters: all of Jinja 3.1, with Hugging Face's `tojson`.

pub(crate) mod html;
mod links;
mod numbers;
mod pretty;
mod selecting;
mod sequences;
mod sorting;
mod text;
mod values;
mod wrap;

use crate::error::Result;
use crate::eval::Interpreter;
use crate::eval::args::Args;
use crate::value::Value;

/// A filter: a value and arguments to a value.
pub(crate) type Filter = fn(&mut Interpreter<'_>, Value, Args) -> Result<Value>;

/// The filter of a name.
pub(crate) fn find(name: &str) -> Option<Filter> {
    Some(match name {
        "abs" => numbers::abs,
        "attr" => values::attr,
        "batch" => sequences::batch,
        "capitalize" => text::capitalize,
        "center" => text::center,
        "count" | "length" => sequences::length,
        "d" | "default" => values::default,
        "dictsort" => sorting::dictsort,
        "e" | "escape" => html::escape_filter,
        "filesizeformat" => numbers::filesizeformat,
        "first" => sequences::first,
        "float" => numbers::float,
        "forceescape" => html::forceescape,
        "format" => text::format,
        "groupby" => sorting::groupby,
        "indent" => wrap::indent,
        "int" => numbers::int,
        "items" => sequences::items,
        "join" => sequences::join,
        "last" => sequences::last,
        "list" => sequences::list,
        "lower" => text::lower,
        "map" => selecting::map,
        "max" => sorting::max,
        "min" => sorting::min,
        "pprint" => pretty::pprint,
        "random" => sequences::random,
        "reject" => selecting::reject,
        "rejectattr" => selecting::rejectattr,
        "replace" => text::replace,
        "reverse" => sequences::reverse,
        "round" => numbers::round,
        "safe" => html::safe,
        "select" => selecting::select,
        "selectattr" => selecting::selectattr,
        "slice" => sequences::slice,
        "sort" => sorting::sort,
        "string" => text::string,
        "striptags" => html::striptags,
        "sum" => sequences::sum,
        "title" => text::title,
        "tojson" => values::tojson,
        "trim" => text::trim,
        "truncate" => wrap::truncate,
        "unique" => sorting::unique,
        "upper" => text::upper,
        "urlencode" => links::urlencode,
        "urlize" => links::urlize,
        "wordcount" => text::wordcount,
        "wordwrap" => wrap::wordwrap,
        "xmlattr" => html::xmlattr,
        _ => return None,
    })
}
