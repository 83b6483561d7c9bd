//! `parkade pull`: a model from the hub into the data directory, resumed where it stopped, checked before it counts.

mod checksum;
mod connection;
mod download;
mod error;
mod hub;

use std::io::{self, Write};

use indicatif::{HumanBytes, ProgressBar, ProgressStyle};

pub use checksum::Digest;
#[cfg(test)]
pub use checksum::sidecar_of;
pub use download::DownloadError;
pub use error::HubError;

use crate::args::PullArgs;
use crate::directories;
use crate::machine::Machine;
use crate::models::{self, ChoiceError, DEFAULT_NAMES, HubModel, ModelError, aliases, fit};
use crate::names::{BadName, FileName};
use crate::stderr;
use download::{Outcome, Target, download};
use hub::{Hub, Listing, Remote};

/// Why a model could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// The name leads to no repository.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The repository has no such file.
    #[error(transparent)]
    Choice(#[from] ChoiceError),
    /// The repository has none, beside files whose names would lead out of its folder or deceive who reads them.
    #[error("{error}. Its list has {count} names that are not taken, for example: {example}")]
    Names {
        /// What was not found among the others.
        error: Box<ChoiceError>,
        /// How many there are.
        count: usize,
        /// One of them.
        example: BadName,
    },
    /// The machine is too small for all of them.
    #[error("{}", too_large(name, *.needed, *.room))]
    TooLarge {
        /// What was asked for.
        name: String,
        /// Memory that the smallest would take.
        needed: u64,
        /// What there is.
        room: u64,
    },
    /// The hub refused or did not answer.
    #[error(transparent)]
    Hub(#[from] HubError),
    /// The file did not arrive whole.
    #[error(transparent)]
    Download(#[from] DownloadError),
    /// Standard output is closed.
    #[error("cannot write to standard output: {0}")]
    Output(#[from] io::Error),
}

/// Runs the command.
///
/// # Errors
/// See [`PullError`].
pub fn run(args: &PullArgs, out: &mut impl Write) -> Result<(), PullError> {
    let Some(name) = args.model.as_deref().filter(|_| !args.list) else {
        return Ok(list(out)?);
    };
    if DEFAULT_NAMES.contains(&name) {
        let path = models::locate(name)?;
        writeln!(out, "{}: already here (the set-up fetched it)", path.display())?;
        return Ok(());
    }
    let mut model = HubModel::parse(name).ok_or_else(|| ModelError::Unknown(name.to_owned()))?;
    if let Some(quant) = &args.quant {
        model.file = Some(FileName::parse(quant).map_err(|_| ModelError::Unknown(format!("{name}:{quant}")))?);
    }
    let hub = Hub::from_environment()?;
    for (file, remote) in wanted(&hub, &model, name)? {
        fetch(&hub, &model, file, &remote, out)?;
    }
    Ok(())
}

/// The files that are to be fetched: one, or the parts of a split model.
fn wanted(hub: &Hub, model: &HubModel, name: &str) -> Result<Vec<(FileName, Remote)>, PullError> {
    let described = |file: &FileName| {
        let parts = models::parts(file).into_iter();
        parts.map(|part| Ok((part.clone(), hub.describe(&model.repo, &part)?))).collect::<Result<Vec<_>, HubError>>()
    };
    match &model.file {
        Some(file) if file.as_str().ends_with(".gguf") => Ok(described(file)?),
        Some(_) => Ok(described(&choose(model, &hub.files(&model.repo)?)?)?),
        None => {
            let listing = hub.files(&model.repo)?;
            // That there is one.
            choose(model, &listing)?;
            let room = fit::room(&Machine::read());
            let mut least = u64::MAX;
            for file in model.candidates(&listing.files) {
                let files = described(file)?;
                let bytes = files.iter().map(|(_, remote)| remote.size).fold(0, u64::saturating_add);
                let needed = fit::memory_needed(file.as_str(), bytes);
                if room.is_none_or(|room| needed <= room) {
                    stderr::say(format_args!("parkade: {}", chosen(file, bytes, needed, room)));
                    return Ok(files);
                }
                least = least.min(needed);
            }
            Err(PullError::TooLarge { name: name.to_owned(), needed: least, room: room.unwrap_or_default() })
        }
    }
}

fn chosen(file: &FileName, bytes: u64, needed: u64, room: Option<u64>) -> String {
    let of = room.map(|room| format!(" of the {} that a model may take here", HumanBytes(room))).unwrap_or_default();
    let (bytes, needed) = (HumanBytes(bytes), HumanBytes(needed));
    format!("{file}: {bytes}, takes about {needed}{of}, room for keys and values included; --quant takes another")
}

fn too_large(name: &str, needed: u64, room: u64) -> String {
    format!(
        "no quantisation of {name} fits this machine: the smallest takes about {}, and a model may take {} here; take a smaller model, or \
         name a quantisation with --quant to fetch it anyhow",
        HumanBytes(needed),
        HumanBytes(room)
    )
}

fn fetch(hub: &Hub, model: &HubModel, file: FileName, remote: &Remote, out: &mut impl Write) -> Result<(), PullError> {
    let target = Target { models: directories::models(), repo: model.repo.clone(), file: file.clone() };
    if remote.sha256.is_none() {
        stderr::say(format_args!("parkade: the hub gives no SHA-256 for {file}; only its size can be checked"));
    }
    let bar = progress_bar(&file, remote.size);
    let outcome = download(hub, remote, &target, &bar)?;
    let target = target.path();
    match outcome {
        Outcome::AlreadyHere => writeln!(out, "{}: already here, checksum right", target.display())?,
        Outcome::Installed { resumed_at: 0 } => {
            writeln!(out, "{}: {}, checked", target.display(), HumanBytes(remote.size))?
        }
        Outcome::Installed { resumed_at } => {
            writeln!(
                out,
                "{}: {}, resumed at {}, checked",
                target.display(),
                HumanBytes(remote.size),
                HumanBytes(resumed_at)
            )?;
        }
    }
    Ok(())
}

/// The file that is meant, among those whose names can be used.
fn choose(model: &HubModel, listing: &Listing) -> Result<FileName, PullError> {
    match (model.choose(&listing.files), listing.unusable.first()) {
        (Ok(file), _) => Ok(file.clone()),
        (Err(error), None) => Err(error.into()),
        (Err(error), Some(example)) => {
            Err(PullError::Names { error: Box::new(error), count: listing.unusable.len(), example: example.clone() })
        }
    }
}

fn list(out: &mut impl Write) -> io::Result<()> {
    let here = |name: &str| if models::locate(name).is_ok() { "here" } else { "" };
    writeln!(out, "{:<22} {:<5} from", "alias", "")?;
    for name in DEFAULT_NAMES {
        writeln!(out, "{name:<22} {:<5} `make setup`", here(name))?;
    }
    for alias in aliases() {
        let name = alias.names[0];
        let others = alias.names[1..].join(", ");
        let others = if others.is_empty() { others } else { format!("; also {others}") };
        writeln!(out, "{name:<22} {:<5} {} ({}){others}", here(name), alias.repo, alias.quants.join(", "))?;
    }
    Ok(())
}

/// Drawn on standard error, and only on a terminal.
fn progress_bar(file: &FileName, size: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} [{wide_bar}] {bytes}/{total_bytes} {bytes_per_sec} ({eta})");
    let bar = ProgressBar::new(size).with_message(file.to_string());
    style.map_or_else(|_| bar.clone(), |style| bar.clone().with_style(style))
}
