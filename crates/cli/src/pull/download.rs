//! One file from the hub, piece by piece: into a `.part` file beside its place, resumed there after any interruption,
//! renamed into place when its length and its SHA-256 are right.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use indicatif::{HumanBytes, ProgressBar};
use ureq::http::{Response, StatusCode};

use super::checksum::{Digest, Running};
use super::connection::{header, nonsense};
use super::error::HubError;
use super::hub::{Hub, Remote};
use crate::names::{FileName, RepoName};

/// Attempts in a row that bring next to nothing before one gives up.
const FRUITLESS_ATTEMPTS: u32 = 4;
/// What an attempt has to bring: a server that sends a byte and breaks off would keep one busy for ever.
const FRUIT: u64 = 64 << 10;
/// The first pause after such an attempt; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// Why the file is not in its place.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// The hub refused or answered nonsense.
    #[error(transparent)]
    Hub(#[from] HubError),
    /// The connection broke, again and again.
    #[error("the connection broke after {} of {} ({message}); what came is kept: run the same command again to go on", HumanBytes(*.got), HumanBytes(*.of))]
    Interrupted {
        /// Bytes on disk.
        got: u64,
        /// Bytes in all.
        of: u64,
        /// The last reason.
        message: String,
    },
    /// The bytes are not those that the hub promised.
    #[error("{}: wrong checksum: the hub says SHA-256 {expected}, but what came has {found}; nothing was installed, and what came was deleted. Try again; if it stays so, the hub or a proxy is at fault", file.display())]
    Checksum {
        /// Where it would have gone.
        file: PathBuf,
        /// What the hub says.
        expected: Digest,
        /// What arrived.
        found: Digest,
    },
    /// Somebody else is at it.
    #[error("another process is fetching {} already", .0.display())]
    Busy(PathBuf),
    /// No room.
    #[error("{}: the disk is full; free {} and run the same command again, or set PARKADE_HOME to a place with room", path.display(), HumanBytes(*.missing))]
    Full {
        /// The file that was written.
        path: PathBuf,
        /// What is still to come.
        missing: u64,
    },
    /// No room for all of it.
    #[error("{}: {} are still to come, and its disk has {} free; free some, or set PARKADE_HOME to a place with room", path.display(), HumanBytes(*.missing), HumanBytes(*.free))]
    NoRoom {
        /// The file that would be written.
        path: PathBuf,
        /// What is still to come.
        missing: u64,
        /// What there is.
        free: u64,
    },
    /// A link that leads elsewhere.
    #[error("{} would lie in {}, outside of the models directory; remove the link on the way, or set PARKADE_HOME to where the models should be", path.display(), folder.display())]
    Outside {
        /// Where it should have gone.
        path: PathBuf,
        /// Where that leads.
        folder: PathBuf,
    },
    /// The data directory cannot be written.
    #[error("cannot write {}: {source}; check who owns it, or set PARKADE_HOME to another directory", path.display())]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

/// What became of it.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The right file was in place before.
    AlreadyHere,
    /// It is there now.
    Installed {
        /// Bytes that an earlier attempt had left.
        resumed_at: u64,
    },
}

/// Where a file belongs: below the models directory, whatever links there are on the way.
pub struct Target {
    /// The models directory.
    pub models: PathBuf,
    /// The file's repository.
    pub repo: RepoName,
    /// The file.
    pub file: FileName,
}

impl Target {
    /// The file's path.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.file.below(&self.models.join(self.repo.as_str()))
    }

    /// Makes the folders around it, and follows no link that leads out of the models directory.
    fn make_folders(&self) -> Result<(), DownloadError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| write_error(&path, source, 0)
        };
        std::fs::create_dir_all(&self.models).map_err(failed(&self.models))?;
        let models = self.models.canonicalize().map_err(failed(&self.models))?;
        let path = self.path();
        let below = path.strip_prefix(&self.models).expect("the file's path begins with it");
        let mut folder = models.clone();
        for part in below.parent().into_iter().flat_map(Path::components) {
            folder.push(part);
            match std::fs::create_dir(&folder) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(failed(&folder)(error)),
                _ => folder = folder.canonicalize().map_err(failed(&folder))?,
            }
            if !folder.starts_with(&models) {
                return Err(DownloadError::Outside { path, folder });
            }
        }
        Ok(())
    }
}

/// Fetches `remote` to `target`.
///
/// # Errors
/// See [`DownloadError`]. `target` is untouched then.
pub fn download(hub: &Hub, remote: &Remote, target: &Target, bar: &ProgressBar) -> Result<Outcome, DownloadError> {
    let path = target.path();
    if is_here(remote, &path) {
        return Ok(Outcome::AlreadyHere);
    }
    target.make_folders()?;
    let mut part = Part::open(&path, remote)?;
    let resumed_at = part.length;
    bar.set_position(resumed_at);
    part.check_room(remote)?;
    part.fill(hub, remote, bar)?;
    part.install(remote, &path)?;
    bar.finish_and_clear();
    Ok(Outcome::Installed { resumed_at })
}

fn is_here(remote: &Remote, target: &Path) -> bool {
    let same_size = std::fs::metadata(target).is_ok_and(|m| m.is_file() && m.len() == remote.size);
    same_size && remote.sha256.is_none_or(|expected| Digest::of_file(target).is_ok_and(|found| found == expected))
}

fn write_error(path: &Path, source: io::Error, missing: u64) -> DownloadError {
    let path = path.to_owned();
    match source.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => DownloadError::Full { path, missing },
        _ => DownloadError::Write { path, source },
    }
}

/// What has arrived so far. Its name carries the beginning of the checksum, so that another version of the file starts afresh.
struct Part {
    path: PathBuf,
    file: File,
    length: u64,
    digest: Running,
}

impl Part {
    fn open(target: &Path, remote: &Remote) -> Result<Part, DownloadError> {
        let version =
            remote.sha256.map_or_else(|| remote.size.to_string(), |digest| digest.to_string()[..12].to_owned());
        let mut name = target.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{version}.part"));
        let path = target.with_file_name(name);
        let failed = |source| write_error(&path, source, remote.size);
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => return Err(DownloadError::Busy(target.to_owned())),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
            Ok(()) => {}
        }
        let mut length = file.metadata().map_err(failed)?.len();
        if length > remote.size {
            file.set_len(0).map_err(failed)?;
            length = 0;
        }
        let mut digest = Running::default();
        digest.read_all(&mut (&file).take(length)).map_err(failed)?;
        file.seek(SeekFrom::Start(length)).map_err(failed)?;
        Ok(Part { path, file, length, digest })
    }

    /// Says before a long transfer that it will not fit, and not at its end.
    fn check_room(&self, remote: &Remote) -> Result<(), DownloadError> {
        // A system that does not say it finds out while writing.
        let Ok(disk) = rustix::fs::fstatvfs(&self.file) else { return Ok(()) };
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        let missing = remote.size - self.length;
        if missing > free {
            return Err(DownloadError::NoRoom { path: self.path.clone(), missing, free });
        }
        Ok(())
    }

    fn fill(&mut self, hub: &Hub, remote: &Remote, bar: &ProgressBar) -> Result<(), DownloadError> {
        let mut fruitless = 0;
        while self.length < remote.size {
            let before = self.length;
            let message = match self.attempt(hub, remote, bar) {
                Ok(()) => "the server ended the transfer early".to_owned(),
                Err(Interruption::Passing(message)) => message,
                Err(Interruption::Final(error)) => return Err(error),
            };
            if self.length >= remote.size {
                break;
            }
            fruitless = if self.length >= before.saturating_add(FRUIT) { 0 } else { fruitless + 1 };
            if fruitless >= FRUITLESS_ATTEMPTS {
                return Err(DownloadError::Interrupted { got: self.length, of: remote.size, message });
            }
            thread::sleep(FIRST_PAUSE * 2_u32.pow(fruitless));
        }
        Ok(())
    }

    /// One request, read as far as it goes.
    fn attempt(&mut self, hub: &Hub, remote: &Remote, bar: &ProgressBar) -> Result<(), Interruption> {
        let mut answer = hub.read_from(remote, self.length)?;
        if let Some(length) = whole_length(&answer).filter(|&length| length != remote.size) {
            let message = format!("the file has {} bytes, and {length} were to come", remote.size);
            return Err(nonsense(&remote.url, message).into());
        }
        match answer.status() {
            StatusCode::PARTIAL_CONTENT => {
                let range = header(answer.headers(), "content-range").unwrap_or_default().to_owned();
                let start =
                    range.trim_start_matches("bytes ").split('-').next().and_then(|start| start.parse::<u64>().ok());
                if start != Some(self.length) {
                    let message = format!("bytes from {} on were asked for, and it sent '{range}'", self.length);
                    return Err(nonsense(&remote.url, message).into());
                }
            }
            // The server does not do ranges, or what we have is no beginning of what it has.
            StatusCode::OK => self.start_over().map_err(|source| self.failed(source, remote))?,
            _ => {
                self.start_over().map_err(|source| self.failed(source, remote))?;
                return Err(Interruption::Passing("the server has no bytes from there on".to_owned()));
            }
        }
        bar.set_position(self.length);
        let mut reader = answer.body_mut().as_reader().take(remote.size - self.length);
        let mut buffer = vec![0; 256 << 10];
        loop {
            let n = match reader.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(n) => n,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(Interruption::Passing(error.to_string())),
            };
            self.file.write_all(&buffer[..n]).map_err(|source| self.failed(source, remote))?;
            self.digest.update(&buffer[..n]);
            self.length += n as u64;
            bar.set_position(self.length);
        }
    }

    fn start_over(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.length = 0;
        self.digest = Running::default();
        Ok(())
    }

    fn failed(&self, source: io::Error, remote: &Remote) -> DownloadError {
        write_error(&self.path, source, remote.size - self.length)
    }

    fn install(self, remote: &Remote, target: &Path) -> Result<(), DownloadError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| write_error(&path, source, 0)
        };
        let found = self.digest.finish();
        if let Some(expected) = remote.sha256.filter(|expected| *expected != found) {
            std::fs::remove_file(&self.path).map_err(failed(&self.path))?;
            return Err(DownloadError::Checksum { file: target.to_owned(), expected, found });
        }
        self.file.sync_all().map_err(failed(&self.path))?;
        std::fs::rename(&self.path, target).map_err(failed(target))?;
        found.note(target).map_err(failed(target))
    }
}

/// How long the whole file is, as far as the answer with its bytes says it.
fn whole_length<T>(answer: &Response<T>) -> Option<u64> {
    let headers = answer.headers();
    match answer.status() {
        StatusCode::OK => header(headers, "content-length")?.parse().ok(),
        StatusCode::PARTIAL_CONTENT => header(headers, "content-range")?.rsplit('/').next()?.parse().ok(),
        _ => None,
    }
}

/// Why one request ended early.
enum Interruption {
    /// Worth another try.
    Passing(String),
    /// Trying again would not help.
    Final(DownloadError),
}

impl From<DownloadError> for Interruption {
    fn from(error: DownloadError) -> Self {
        Interruption::Final(error)
    }
}

impl From<HubError> for Interruption {
    fn from(error: HubError) -> Self {
        match error {
            HubError::Unreachable { message, .. } => Interruption::Passing(message),
            HubError::Status { status, .. } if status >= 500 || status == 429 => {
                Interruption::Passing(format!("status {status}"))
            }
            other => Interruption::Final(other.into()),
        }
    }
}
