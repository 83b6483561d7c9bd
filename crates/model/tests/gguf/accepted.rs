//! Files that are read.

use std::io::Write;

use parkade_kernels::WeightType;
use parkade_model::gguf::write::GgufWriter;
use parkade_model::gguf::{Array, Gguf, GgufError, Value};

use crate::build::{Raw, array, arrays, every_kind, string};

/// The data of a tensor.
fn read(gguf: &Gguf, name: &str) -> Vec<u8> {
    let mut data = vec![9; 1000];
    gguf.read(gguf.tensor(name).unwrap(), &mut data).unwrap();
    data
}

/// A header that is longer than what is read ahead, with values that are longer and shorter than that.
#[test]
fn long_headers_are_read_in_pieces() {
    let long = "é".repeat(1_500_000);
    let words: Vec<String> = (0..200_000).map(|n| n.to_string()).collect();
    let mut writer = GgufWriter::new();
    for n in 0..3 {
        writer.set(&format!("long.{n}"), long.as_str()).set(&format!("words.{n}"), Array::Str(words.clone()));
        writer.set(&format!("numbers.{n}"), Array::U64((0..300_000).collect()));
    }
    writer.tensor("one", WeightType::F32, &[3]).unwrap();
    let mut file = Vec::new();
    writer.write(&mut file, |tensor| Ok(vec![3; tensor.bytes])).unwrap();
    let gguf = Gguf::from_bytes(file).unwrap();
    for n in 0..3 {
        assert_eq!(gguf.require_str(&format!("long.{n}")).unwrap(), long);
        assert_eq!(gguf.require_str_array(&format!("words.{n}")).unwrap(), words);
        let numbers = gguf.get_int_array(&format!("numbers.{n}")).unwrap().unwrap();
        assert!(numbers.into_iter().eq(0..300_000));
    }
    assert_eq!(read(&gguf, "one"), [3; 12]);
}

#[test]
fn what_was_written_is_read() {
    let gguf = Gguf::from_bytes(every_kind()).unwrap();
    assert_eq!(gguf.version(), 3);
    assert_eq!(gguf.architecture().unwrap(), "llama");
    assert_eq!(gguf.get("a.i8"), Some(&Value::I8(-8)));
    assert_eq!(gguf.get("a.f64"), Some(&Value::F64(0.25)));
    for (key, value) in arrays() {
        assert_eq!(gguf.get(key), Some(&value), "{key}");
    }
    let names: Vec<_> = gguf.tensors().map(|t| t.name.to_owned()).collect();
    assert_eq!(names, ["one", "two", "three"]);
    let two = gguf.tensor("two").unwrap();
    assert_eq!((two.ty, &two.shape[..], two.cols(), two.rows()), (WeightType::Q4_1, &[64, 3][..], 64, 3));
    assert_eq!(read(&gguf, "two"), [3; 2 * 3 * 20]);
    let three = gguf.tensor("three").unwrap();
    assert_eq!((three.cols(), three.rows(), three.size()), (2, 12, 48));
    assert_eq!(read(&gguf, "three"), [5; 48]);
    assert!(gguf.tensor("four").is_none());
}

#[test]
fn version_2_is_read() {
    let raw = Raw { version: 2, ..Raw::default() };
    assert_eq!(raw.open().unwrap().version(), 2);
}

#[test]
fn a_file_on_disk_is_read_and_takes_its_name_from_the_path() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("small.Q4_1.gguf");
    std::fs::File::create(&path).unwrap().write_all(&every_kind()).unwrap();
    let gguf = Gguf::open(&path).unwrap();
    assert_eq!(gguf.name(), "small.Q4_1");
    assert_eq!(gguf.file_size(), every_kind().len() as u64);
    assert_eq!(read(&gguf, "one"), [3; 12]);
}

#[test]
fn a_model_is_called_what_its_metadata_says() {
    let named = |name: &str| Raw::default().entry("general.name", 8, &string(name)).open().unwrap().name().to_owned();
    assert_eq!(named("My Model"), "My Model");
    assert_eq!(named("  "), "model");
}

#[test]
fn numbers_are_taken_from_any_type_that_fits() {
    let gguf = Gguf::from_bytes(every_kind()).unwrap();
    assert_eq!(gguf.get_u32("a.u8").unwrap(), Some(8));
    assert_eq!(gguf.get_u64("a.u64").unwrap(), Some(u64::MAX));
    assert_eq!(gguf.get_f32("a.f64").unwrap(), Some(0.25));
    assert_eq!(gguf.get_bool("a.bool").unwrap(), Some(true));
    assert_eq!(gguf.get_int_array("b.i8").unwrap(), Some(vec![-1, 2]));
    assert_eq!(gguf.get_f32_array("b.f32").unwrap(), Some(&[-1.0, 2.0][..]));
    assert_eq!(gguf.get_str_array("b.str").unwrap().unwrap().len(), 3);
    assert_eq!(gguf.get_u32("absent").unwrap(), None);
}

#[test]
fn a_value_of_another_type_is_an_error_that_names_key_and_type() {
    let gguf = Gguf::from_bytes(every_kind()).unwrap();
    let message = |result: Result<Option<u32>, GgufError>| result.unwrap_err().to_string();
    assert!(message(gguf.get_u32("a.i8")).contains("'a.i8' holds int8 -8; expected an integer from 0"));
    assert!(message(gguf.get_u32("a.u64")).contains("uint64 18446744073709551615"));
    assert!(message(gguf.get_u32("b.str")).contains("array of 3 string"));
    assert!(message(gguf.get_u32("general.architecture")).contains("string \"llama\""));
    let missing = gguf.require_u32("llama.block_count").unwrap_err().to_string();
    assert!(missing.contains("'llama.block_count' is missing"), "{missing}");
    assert!(gguf.get_int_array("b.u64").is_ok());
    assert!(gguf.get_int_array("b.f32").is_err());
}

#[test]
fn other_alignments_and_gaps_between_tensors_are_read() {
    let raw = Raw::default().entry("general.alignment", 4, &8u32.to_le_bytes()).tensor("late", &[2], 0, 24).tensor(
        "early",
        &[2],
        0,
        8,
    );
    let mut bytes = raw.bytes();
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes.extend(0..32);
    let gguf = Gguf::from_bytes(bytes).unwrap();
    assert_eq!(read(&gguf, "early"), (8..16).collect::<Vec<u8>>());
    assert_eq!(read(&gguf, "late"), (24..32).collect::<Vec<u8>>());
}

#[test]
fn arrays_inside_arrays_are_read_up_to_the_limit() {
    let nested = |depth: usize| (1..depth).fold(array(0, 1, &[7]), |inner, _| array(9, 1, &inner));
    let gguf = Raw::default().entry("deep", 9, &nested(4)).open().unwrap();
    let Some(Value::Array(Array::Array(inner))) = gguf.get("deep") else { panic!("no array") };
    assert_eq!(inner.len(), 1);
    let error = Raw::default().entry("deep", 9, &nested(5)).open().unwrap_err();
    assert!(matches!(error, GgufError::Limit { found: 5, limit: 4, .. }), "{error}");
}

#[test]
fn a_value_that_nobody_needs_refuses_nothing() {
    let not_utf8 = |bytes: &[u8]| [&(bytes.len() as u64).to_le_bytes(), bytes].concat();
    let strings = array(8, 3, &[string("a"), not_utf8(b"b\xff"), string("c")].concat());
    let nested = array(9, 2, &[array(8, 1, &not_utf8(b"\xff")), array(0, 1, &[7])].concat());
    let gguf = Raw::default()
        .entry("general.description", 8, &not_utf8(b"caf\xe9"))
        .entry("general.tags", 9, &strings)
        .entry("nested", 9, &nested)
        .entry("empty", 9, &array(8, 0, &[]))
        .entry("yes", 7, &[2])
        .entry("flags", 9, &array(7, 3, &[0, 1, 255]))
        .entry("again", 4, &1u32.to_le_bytes())
        .entry("twice", 4, &1u32.to_le_bytes())
        .entry("twice", 4, &2u32.to_le_bytes())
        .entry("twice", 4, &1u32.to_le_bytes())
        .entry("again", 4, &1u32.to_le_bytes())
        .entry("last", 8, &string("é"))
        .open()
        .unwrap();
    assert_eq!(gguf.require_str("last").unwrap(), "é");
    assert_eq!(gguf.get_u32("again").unwrap(), Some(1), "the same value twice is one");
    assert_eq!(gguf.get_bool("yes").unwrap(), Some(true), "as in C");
    assert_eq!(gguf.get("flags"), Some(&Value::Array(Array::Bool(vec![false, true, true]))));
    let unusable: Vec<_> = gguf.unusable().collect();
    assert_eq!(
        unusable,
        [
            ("general.description", "is not UTF-8 from byte 3"),
            ("general.tags", "has an element 1 that is not UTF-8 from byte 1"),
            ("nested", "has an element 0 that is not UTF-8 from byte 0"),
            ("twice", "occurs twice, with different values"),
        ]
    );
    for (key, problem) in unusable {
        let needed = gguf.get_str(key).unwrap_err().to_string();
        assert!(needed.contains(&format!("metadata key '{key}' {problem}; the file is damaged")), "{needed}");
        assert!(gguf.get(key).is_none() && gguf.metadata().all(|(k, _)| k != key));
    }
}

#[test]
fn keys_that_are_no_text_are_nobodys() {
    let mut raw = Raw::default().entry("k??", 4, &1u32.to_le_bytes()).entry("general.name", 4, &1u32.to_le_bytes());
    raw.metadata[9] = 0xff;
    let gguf = raw.open().unwrap();
    assert_eq!((gguf.metadata().len(), gguf.name()), (2, "model"));
}
