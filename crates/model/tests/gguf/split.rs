//! Models in several files.

use std::path::{Path, PathBuf};

use parkade_kernels::WeightType;
use parkade_model::gguf::write::GgufWriter;
use parkade_model::gguf::{Gguf, TensorInfo};

/// What a part has, from 0: its name's number, its metadata and its tensors.
struct Part {
    no: u16,
    count: u16,
    all_tensors: i32,
    architecture: Option<&'static str>,
    tensors: Vec<&'static str>,
}

/// Three parts with four tensors, the first without any, as gguf-split's `--no-tensor-first-split` makes them.
fn parts() -> Vec<Part> {
    let part = |no, architecture, tensors: &[&'static str]| Part {
        no,
        count: 3,
        all_tensors: 4,
        architecture,
        tensors: tensors.to_vec(),
    };
    vec![part(0, Some("llama"), &[]), part(1, None, &["a", "b"]), part(2, None, &["c", "d"])]
}

/// A tensor's data is its name's letter, over and over.
fn write(part: &Part, path: &Path) {
    let mut writer = GgufWriter::new();
    writer.set("split.no", part.no).set("split.count", part.count).set("split.tensors.count", part.all_tensors);
    if let Some(architecture) = part.architecture {
        writer.set("general.architecture", architecture);
    }
    for name in &part.tensors {
        writer.tensor(name, WeightType::F32, &[4]).unwrap();
    }
    let mut file = Vec::new();
    writer.write(&mut file, |tensor| Ok(vec![tensor.name.as_bytes()[0]; tensor.bytes])).unwrap();
    std::fs::write(path, file).unwrap();
}

fn path(folder: &Path, number: usize) -> PathBuf {
    folder.join(format!("my-model-{number:05}-of-00003.gguf"))
}

fn written(parts: &[Part]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (index, part) in parts.iter().enumerate() {
        write(part, &path(folder.path(), index + 1));
    }
    folder
}

/// What is said of parts of which one was changed, when the first is opened.
fn refused(change: impl FnOnce(&mut Vec<Part>)) -> String {
    let mut parts = parts();
    change(&mut parts);
    let folder = written(&parts);
    Gguf::open(&path(folder.path(), 1)).unwrap_err().to_string()
}

#[test]
fn any_part_opens_the_whole_model() {
    let folder = written(&parts());
    for number in 1..=3 {
        let gguf = Gguf::open(&path(folder.path(), number)).unwrap();
        assert_eq!((gguf.name(), gguf.architecture().unwrap()), ("my-model", "llama"));
        let names: Vec<&str> = gguf.tensors().map(|t| t.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "c", "d"]);
        let read = |tensor: &TensorInfo| {
            let mut data = Vec::new();
            gguf.read(tensor, &mut data).unwrap();
            data
        };
        for name in names {
            assert_eq!(read(gguf.tensor(name).unwrap()), [name.as_bytes()[0]; 16], "{name}");
        }
        let sizes = (1..=3).map(|part| std::fs::metadata(path(folder.path(), part)).unwrap().len());
        assert_eq!(gguf.file_size(), sizes.sum::<u64>());
        gguf.check_unchanged().unwrap();
    }
}

#[test]
fn missing_parts_are_named() {
    let folder = written(&parts());
    for number in 2..=3 {
        std::fs::remove_file(path(folder.path(), number)).unwrap();
    }
    let message = Gguf::open(&path(folder.path(), 1)).unwrap_err().to_string();
    let names = "my-model-00002-of-00003.gguf, my-model-00003-of-00003.gguf";
    assert!(message.contains(names) && message.contains("into the same folder"), "{message}");
}

#[test]
fn a_part_without_its_name_is_refused_with_the_name_that_it_should_have() {
    let folder = written(&parts());
    for name in ["model.gguf", "my-model-00002-of-00003.gguf"] {
        let other = folder.path().join(name);
        std::fs::copy(path(folder.path(), 1), &other).unwrap();
        let message = Gguf::open(&other).unwrap_err().to_string();
        assert!(message.contains("part 1 of 3") && message.contains("NAME-00001-of-00003.gguf"), "{message}");
    }
}

#[test]
fn parts_that_do_not_belong_together_are_refused() {
    let says = |message: String, words: &[&str]| {
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
    };
    says(refused(|parts| parts[1].all_tensors = 5), &["00002-of", "has split.tensors.count int32 5", "int32 4"]);
    says(refused(|parts| parts[2].count = 4), &["00003-of", "has split.count uint16 4"]);
    says(refused(|parts| parts[2].no = 1), &["00003-of", "is part 2, and by its name part 3"]);
    says(refused(|parts| parts[2].count = 0), &["00003-of", "is no part of a split model"]);
    says(refused(|parts| parts[2].count = 1), &["00003-of", "split.no is uint16 2; expected 0"]);
    says(refused(|parts| parts.swap(1, 2)), &["00002-of", "is part 3, and by its name part 2"]);
    says(
        refused(|parts| parts[1].architecture = Some("qwen2")),
        &["general.architecture string \"qwen2\"", "\"llama\""],
    );
    says(refused(|parts| parts[2].tensors[0] = "b"), &["00003-of", "tensor 'b'", "before it has too"]);
    says(refused(|parts| parts[2].tensors.truncate(1)), &["all parts have 4 tensors, and they have 3"]);
}

#[test]
fn a_file_that_does_not_say_that_it_is_a_part_is_whole_whatever_it_is_called() {
    let folder = tempfile::tempdir().unwrap();
    // As joining leaves it, and as splitting into one part does.
    for (count, no, all_tensors) in [(None, None, None), (Some(0), Some(2), Some(9)), (Some(1), Some(0), Some(1))] {
        let path = folder.path().join("my-model-00002-of-00003.gguf");
        write_whole(&path, [("split.count", count), ("split.no", no), ("split.tensors.count", all_tensors)]);
        for name in ["my-model-00002-of-00003.gguf", "other.gguf"] {
            let named = folder.path().join(name);
            std::fs::rename(folder.path().join("my-model-00002-of-00003.gguf"), &named).unwrap();
            let gguf = Gguf::open(&named).unwrap();
            assert_eq!((gguf.files(), gguf.stem()), (&[named.clone()][..], name.strip_suffix(".gguf")));
        }
    }
}

#[test]
fn numbers_of_a_part_that_are_missing_or_contradict_each_other_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("my-model-00001-of-00001.gguf");
    for (count, no, all_tensors, said) in [
        (None, Some(0), Some(1), "'split.count' is missing"),
        (None, None, Some(1), "'split.count' is missing"),
        (Some(2), None, Some(1), "'split.no' is missing"),
        (Some(2), Some(0), None, "'split.tensors.count' is missing"),
        (Some(1), Some(1), Some(1), "split.no is uint16 1; expected 0"),
        (Some(1), Some(0), Some(2), "split.tensors.count is uint16 2; expected 1"),
        (Some(2), Some(2), Some(1), "split.no is uint16 2; expected 0 to 1"),
        (Some(2), Some(0), Some(1), "part 1 of 2"),
    ] {
        write_whole(&path, [("split.count", count), ("split.no", no), ("split.tensors.count", all_tensors)]);
        let message = Gguf::open(&path).unwrap_err().to_string();
        assert!(message.contains(said), "{said}: {message}");
    }
}

#[test]
fn the_files_of_a_model_are_its_parts_in_order_whichever_is_opened() {
    let folder = written(&parts());
    let all: Vec<PathBuf> = (1..=3).map(|number| path(folder.path(), number)).collect();
    for part in &all {
        assert_eq!(Gguf::open(part).unwrap().files(), all);
    }
}

/// One tensor, and what is said of parts.
fn write_whole(path: &Path, keys: [(&str, Option<u16>); 3]) {
    let mut writer = GgufWriter::new();
    for (key, value) in keys {
        if let Some(value) = value {
            writer.set(key, value);
        }
    }
    writer.tensor("a", WeightType::F32, &[4]).unwrap();
    let mut file = Vec::new();
    writer.write(&mut file, |tensor| Ok(vec![0; tensor.bytes])).unwrap();
    std::fs::write(path, file).unwrap();
}

#[test]
fn what_is_wrong_in_a_part_is_said_with_its_name() {
    let folder = written(&parts());
    std::fs::write(path(folder.path(), 2), "no model").unwrap();
    let message = Gguf::open(&path(folder.path(), 3)).unwrap_err().to_string();
    assert!(message.contains("my-model-00002-of-00003.gguf") && message.contains("not a GGUF file"), "{message}");
}
