//! What product vision makes of a shelf event. Likelihoods only: no picture, no crop, no embedding.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which product one camera saw handled in one shelf event. QoS 0, not retained: a lost one is evidence that is missing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProductView {
    /// Which camera.
    pub camera: String,
    /// When: the end of the shelf event.
    pub time_us: i64,
    /// Where, `gondola/shelf`.
    pub place: String,
    /// How likely the picture is for each product that it may be; not normalised, absent products are not excluded.
    pub likelihood: Vec<ProductLikelihood>,
}

/// How likely a picture is if this product was handled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProductLikelihood {
    /// The product.
    pub sku: String,
    /// 0 to 1.
    pub p: f64,
}
