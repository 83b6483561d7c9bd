//! What models are built of. Each part holds its weights, takes them from the file by a plan, and runs on the scratch memory of a pass.

pub(crate) mod attention;
pub(crate) mod embedding;
pub(crate) mod experts;
pub(crate) mod feed_forward;
pub(crate) mod gated;
pub(crate) mod head;
pub(crate) mod latent_attention;
pub(crate) mod layer;
pub(crate) mod layer_embedding;
pub(crate) mod linear;
pub(crate) mod norm;
pub(crate) mod residual;
pub(crate) mod rope;
pub(crate) mod routing;
pub(crate) mod scratch;
pub(crate) mod state;
pub(crate) mod streams;
pub(crate) mod table;
