"""`parkade synth`: random models of any shape."""

from process import parkade


def test_a_shape_and_a_seed_are_the_same_file(tmp_path):
    files = [tmp_path / name for name in ("one.gguf", "again.gguf", "other.gguf")]
    for file, seed in zip(files, "778"):
        done = parkade("synth", "--shape", "tiny-qwen3", "--seed", seed, str(file))
        assert done.returncode == 0, done.stderr.decode()
    one, again, other = [file.read_bytes() for file in files]
    assert one == again != other
    assert sorted(tmp_path.iterdir()) == sorted(files)


def test_what_does_not_exist_is_told_what_there_is(tmp_path):
    for flags, said in [
        (["--shape", "gpt-9"], "there is no shape 'gpt-9'; shapes are tiny-llama-spm, "),
        (["--shape", "tiny-qwen3", "--type", "q9"], "there is no type 'q9'; types are f32, "),
    ]:
        done = parkade("synth", *flags, str(tmp_path / "m.gguf"))
        assert done.returncode == 2 and said in done.stderr.decode(), done.stderr.decode()
    assert "qwen3-30b-a3b" in parkade("synth", "--list").stdout.decode().split()
    assert not list(tmp_path.iterdir())
