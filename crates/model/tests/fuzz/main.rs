//! Damaged and hostile model files: each is refused or works, in bounded time and memory, and nothing panics.
//!
//! A case is a small model, changed in a few places that its number decides. `make test` runs a few thousand, `make fuzz` as many as
//! `FUZZ_CASES` says. A case that fails leaves its file and its number; `PARKADE_FUZZ_FIRST=N PARKADE_FUZZ_CASES=1` runs it
//! again. What was once found is a file in `tests/corpus`, or a test of its own.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod exercise;
mod mutate;
mod random;
mod seeds;
#[path = "../support/random.rs"]
mod splitmix;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parkade_kernels::Team;
use peak_alloc::PeakAlloc;

use exercise::Outcome;
use random::Random;

/// Counts what is allocated, and the most at one time.
#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Cases when nobody says how many.
const CASES: u64 = 1_500;
/// The longest that a case may take: far longer than any does on a busy machine, far shorter than a hang.
const LONGEST: Duration = Duration::from_secs(60);
/// What a case may allocate beyond the size of its file, in bytes.
const GROWTH: usize = 256 << 20;
/// What may stay allocated after all cases: caches that are filled once.
const KEPT: usize = 32 << 20;

/// A number from the environment.
fn setting(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|value| value.parse().unwrap_or_else(|_| panic!("{name} is {value:?}: a number is needed")))
}

/// Ends the process when a case hangs; its number is what `running` holds.
struct Watch {
    running: Arc<AtomicU64>,
    longest: Duration,
}

impl Watch {
    /// Before the first case.
    const NONE: u64 = u64::MAX;

    fn start(longest: Duration) -> Watch {
        let running = Arc::new(AtomicU64::new(Self::NONE));
        let seen = Arc::clone(&running);
        std::thread::spawn(move || {
            let (mut case, mut since) = (Self::NONE, Instant::now());
            loop {
                std::thread::sleep(Duration::from_millis(200));
                // Relaxed: the number alone matters, and that it is seen at some time.
                let now = seen.load(Ordering::Relaxed);
                if now != case {
                    (case, since) = (now, Instant::now());
                } else if case != Self::NONE && since.elapsed() > longest {
                    eprintln!("case {case} has not ended after {longest:?}");
                    std::process::exit(1);
                }
            }
        });
        Watch { running, longest }
    }

    /// A case begins. Its file stays behind if the process dies of it.
    fn begin(&self, case: u64, file: &[u8]) {
        self.running.store(case, Ordering::Relaxed);
        if setting("PARKADE_FUZZ_CASES").is_some() {
            std::fs::write(running_file(), file).unwrap();
        }
    }
}

fn running_file() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("fuzz-running.gguf")
}

/// Runs one file, and says what is wrong with how it went.
fn run(file: &[u8], team: &Arc<Team>) -> Result<Outcome, String> {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let outcome = catch_unwind(AssertUnwindSafe(|| exercise::model_file(file.to_vec(), team)));
    let grown = MEMORY.peak_usage().saturating_sub(before);
    let outcome = outcome.map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        format!("it panicked: {}", text.unwrap_or("?"))
    })?;
    let most = 2 * file.len() + GROWTH;
    // Large matrices are mapped, and not seen by the allocator.
    let grown = grown + outcome.mapped();
    if grown > most {
        Err(format!("it took {grown} bytes of memory, with a file of {}", file.len()))
    } else {
        Ok(outcome)
    }
}

/// Memory is counted for the whole process, so this is the only test of this program.
#[test]
fn damaged_model_files_are_refused_or_work_within_bounds() {
    let team = Arc::new(Team::new(1));
    let seeds = seeds::all();
    for (number, seed) in seeds.iter().enumerate() {
        let outcome = run(&seed.bytes(), &team).unwrap_or_else(|problem| panic!("seed {number}: {problem}"));
        assert!(matches!(outcome, Outcome::Ran { .. }), "seed {number} is no good model: {outcome:?}");
    }
    for (name, file) in corpus() {
        run(&file, &team).unwrap_or_else(|problem| panic!("{name}: {problem}"));
    }

    let (first, cases) = (setting("PARKADE_FUZZ_FIRST").unwrap_or(0), setting("PARKADE_FUZZ_CASES").unwrap_or(CASES));
    let seconds = setting("PARKADE_FUZZ_SECONDS").map(Duration::from_secs);
    let watch = Watch::start(setting("PARKADE_FUZZ_LONGEST").map_or(LONGEST, Duration::from_secs));
    let (kept, started) = (MEMORY.current_usage(), Instant::now());
    let (mut refused, mut ran, mut slowest) = (0, 0, (Duration::ZERO, 0));
    for case in first..first + cases {
        if seconds.is_some_and(|most| started.elapsed() > most) {
            break;
        }
        let file = mutate::case(&seeds, &mut Random::new(case));
        watch.begin(case, &file);
        let began = Instant::now();
        match run(&file, &team) {
            Ok(Outcome::Ran { .. }) => ran += 1,
            Ok(Outcome::Refused) => refused += 1,
            Err(problem) => {
                let path = running_file().with_file_name(format!("fuzz-case-{case}.gguf"));
                std::fs::write(&path, &file).unwrap();
                panic!("case {case}, {}: {problem}", path.display());
            }
        }
        slowest = slowest.max((began.elapsed(), case));
    }
    watch.running.store(Watch::NONE, Ordering::Relaxed);
    println!(
        "{} files in {:.0} s: {refused} refused, {ran} ran; the slowest was case {} with {:.2} s of {:?}",
        refused + ran,
        started.elapsed().as_secs_f64(),
        slowest.1,
        slowest.0.as_secs_f64(),
        watch.longest,
    );
    let kept = MEMORY.current_usage().saturating_sub(kept);
    assert!(kept < KEPT, "{kept} bytes were not given back");
    assert!(cases < 1_000 || refused * 20 > ran && ran * 20 > refused, "{refused} refused, {ran} ran: too one-sided");
}

/// Files that somebody made on purpose, or that once did harm.
fn corpus() -> Vec<(String, Vec<u8>)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus");
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|ending| ending == "gguf"))
        .map(|path| (path.display().to_string(), std::fs::read(&path).unwrap()))
        .collect();
    assert!(files.len() >= 10, "{} files", files.len());
    files
}
