//! Models with all weights in F32, whose products round nothing.

use parkade_kernels::{WeightType, dequantize};
use parkade_model::gguf::Gguf;
use parkade_model::gguf::write::GgufWriter;

/// The same model with its weights widened.
pub fn widened(gguf: &Gguf) -> Gguf {
    let mut writer = GgufWriter::new();
    for (key, value) in gguf.metadata() {
        writer.set(key, value.clone());
    }
    for tensor in gguf.tensors() {
        writer.tensor(&tensor.name, WeightType::F32, &tensor.shape).unwrap();
    }
    let mut file = Vec::new();
    writer
        .write(&mut file, |planned| {
            let tensor = gguf.tensor(&planned.name).unwrap();
            let mut data = Vec::new();
            gguf.read(tensor, &mut data).unwrap();
            let mut values = vec![0.0; planned.bytes / 4];
            dequantize(tensor.ty, &data, &mut values).unwrap();
            Ok(values.iter().flat_map(|x| x.to_le_bytes()).collect())
        })
        .unwrap();
    Gguf::from_bytes(file).unwrap()
}
