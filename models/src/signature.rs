//! Are a session's inputs and outputs those that the manifest lists?

use crate::error::{ModelError, Result};
use crate::manifest::{Dim, ModelEntry};

/// What a session says of one of its tensors: name, element type, dimensions (negative: free).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TensorInfo {
    pub name: String,
    pub element: String,
    pub dims: Vec<i64>,
}

/// The only element type there is.
const FLOAT: &str = "f32";

/// Compares both sides; the session's outputs may be in any order.
pub(crate) fn check(model: &ModelEntry, inputs: &[TensorInfo], outputs: &[TensorInfo]) -> Result<()> {
    let mismatch = |place: String, expected: String, found: String| {
        Err(ModelError::SignatureMismatch { name: model.name.clone(), place, expected, found })
    };
    let names =
        |tensors: &[TensorInfo]| tensors.iter().map(|t| t.name.as_str()).collect::<Vec<_>>().join(", ");
    let expected_inputs = [(&model.input.name, &model.input.shape)];
    let expected_outputs: Vec<_> = model.outputs.iter().map(|o| (&o.name, &o.shape)).collect();
    for (kind, expected, found) in
        [("input", &expected_inputs[..], inputs), ("output", &expected_outputs[..], outputs)]
    {
        if expected.len() != found.len() || expected.iter().any(|e| !found.iter().any(|f| f.name == *e.0)) {
            let expected: Vec<&str> = expected.iter().map(|e| e.0.as_str()).collect();
            return mismatch(format!("its list of {kind}s"), expected.join(", "), names(found));
        }
        for (name, shape) in expected {
            for tensor in found.iter().filter(|f| f.name == **name) {
                let same = tensor.dims.len() == shape.len()
                    && tensor.dims.iter().zip(shape.iter()).all(|(dim, expected)| match expected {
                        Dim::Fixed(v) => dim == v,
                        Dim::Free(_) => true,
                    });
                if !same || tensor.element != FLOAT {
                    let dims: Vec<String> = shape.iter().map(dim_text).collect();
                    let found: Vec<String> = tensor
                        .dims
                        .iter()
                        .map(|d| if *d < 0 { "free".into() } else { d.to_string() })
                        .collect();
                    return mismatch(
                        format!("{kind} {name:?}"),
                        format!("{FLOAT} [{}]", dims.join(", ")),
                        format!("{} [{}]", tensor.element, found.join(", ")),
                    );
                }
            }
        }
    }
    Ok(())
}

fn dim_text(dim: &Dim) -> String {
    match dim {
        Dim::Fixed(v) => v.to_string(),
        Dim::Free(name) => name.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Manifest;

    fn tensor(name: &str, dims: &[i64]) -> TensorInfo {
        TensorInfo { name: name.into(), element: FLOAT.into(), dims: dims.to_vec() }
    }

    #[test]
    fn mismatches_name_both_sides() {
        let manifest = include_str!("../manifest.toml");
        let manifest = Manifest::parse(manifest, std::path::Path::new("manifest.toml")).unwrap();
        let model = manifest.model("person-centernet").unwrap();
        let input = [tensor("images", &[1, 3, -1, -1])];
        let heat = tensor("heat", &[1, 1, -1, 96]);
        let size = tensor("size", &[1, 4, -1, -1]);
        let refusal = |inputs: &[TensorInfo], outputs: &[TensorInfo]| {
            check(model, inputs, outputs).unwrap_err().to_string()
        };
        check(model, &input, &[size.clone(), heat.clone()]).unwrap();
        let said = refusal(&input, std::slice::from_ref(&heat));
        assert!(said.contains("its list of outputs is heat, the manifest expects heat, size"), "{said}");
        let said = refusal(&[tensor("image", &[1, 3, -1, -1])], &[heat.clone(), size.clone()]);
        assert!(said.contains("its list of inputs is image, the manifest expects images"), "{said}");
        let said = refusal(&[tensor("images", &[1, -1, -1, 3])], &[heat.clone(), size.clone()]);
        assert!(
            said.contains(
                "input \"images\" is f32 [1, free, free, 3], the manifest expects f32 [1, 3, height, width]"
            ),
            "{said}"
        );
        let said = refusal(&input, &[TensorInfo { element: "f16".into(), ..heat }, size]);
        assert!(said.contains("output \"heat\" is f16 [1, 1, free, 96]"), "{said}");
        assert!(said.contains("correct models/manifest.toml"), "{said}");
    }
}
