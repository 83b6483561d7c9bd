//! Models that are almost as those of the files.

use parkade_kernels::{WeightType, dequantize};
use parkade_model::gguf::write::GgufWriter;
use parkade_model::gguf::{Gguf, Value};

/// The same model for a context of that length: some rotate otherwise in a longer one.
pub fn with_context(gguf: &Gguf, context: u32) -> Gguf {
    let key = format!("{}.context_length", gguf.architecture().unwrap());
    with_metadata(gguf, &key, context.into())
}

/// The same model with another value of a key.
pub fn with_metadata(gguf: &Gguf, key: &str, value: Value) -> Gguf {
    rewritten(gguf, None, Some((key, value)))
}

/// The same model with all weights in F32, whose products round nothing.
pub fn widened(gguf: &Gguf) -> Gguf {
    rewritten(gguf, Some(WeightType::F32), None)
}

fn rewritten(gguf: &Gguf, ty: Option<WeightType>, metadata: Option<(&str, Value)>) -> Gguf {
    let mut writer = GgufWriter::new();
    for (key, value) in gguf.metadata() {
        writer.set(key, value.clone());
    }
    if let Some((key, value)) = metadata {
        writer.set(key, value);
    }
    for tensor in gguf.tensors() {
        writer.tensor(&tensor.name, ty.unwrap_or(tensor.ty), &tensor.shape).unwrap();
    }
    let mut file = Vec::new();
    writer
        .write(&mut file, |planned| {
            let tensor = gguf.tensor(&planned.name).unwrap();
            let mut data = Vec::new();
            gguf.read(tensor, &mut data).unwrap();
            if planned.ty == tensor.ty {
                return Ok(data);
            }
            let mut values = vec![0.0; planned.bytes / 4];
            dequantize(tensor.ty, &data, &mut values).unwrap();
            Ok(values.iter().flat_map(|x| x.to_le_bytes()).collect())
        })
        .unwrap();
    Gguf::from_bytes(file).unwrap()
}
