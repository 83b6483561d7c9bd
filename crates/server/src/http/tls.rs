//! TLS: the certificate, which can be read again while the server runs.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parkade_sync::RwLock;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ServerConfig};

/// The longest file that is read, in bytes: far more than any chain of certificates takes.
const LONGEST_FILE: u64 = 1 << 20;

/// The one protocol that is spoken behind the handshake.
const ALPN: &[u8] = b"http/1.1";

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file holds something else.
    #[error("{} has no {expected} in PEM{}", path.display(), .problem.map(|problem| format!(": {problem}")).unwrap_or_default())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What should be in it.
        expected: &'static str,
        /// What is wrong with what is there.
        problem: Option<&'static str>,
    },
    /// Certificate and key cannot be used together.
    #[error("the certificate {} cannot be used with the key {}: {problem}", certificate.display(), key.display())]
    Pair {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why not.
        problem: String,
    },
}

/// A certificate with its key.
pub struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    in_force: RwLock<TlsAcceptor>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads two files in PEM: the certificate with those between it and a root that clients know, its own first, and its private key.
    ///
    /// # Errors
    /// If they cannot be read, or do not belong together.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let in_force = RwLock::new("server.tls", acceptor(certificate, key)?);
        Ok(Self { certificate: certificate.to_owned(), key: key.to_owned(), in_force })
    }

    /// Reads the files again, for connections that come from now on.
    ///
    /// # Errors
    /// As [`load`](Self::load); then what was in force stays.
    pub fn reload(&self) -> Result<(), TlsError> {
        let renewed = acceptor(&self.certificate, &self.key)?;
        *self.in_force.write() = renewed;
        Ok(())
    }

    /// What shakes hands with the certificate that is in force.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        self.in_force.read().clone()
    }
}

const CERTIFICATE: &str = "certificate";
const PRIVATE_KEY: &str = "private key";

fn acceptor(certificate: &Path, key: &Path) -> Result<TlsAcceptor, TlsError> {
    let pem = |path: &Path, expected, text: &[u8], error: pem::Error| TlsError::Pem {
        path: path.to_owned(),
        expected,
        problem: problem_of(&error, expected, text),
    };
    let text = read(certificate)?;
    let chain = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<Vec<_>, _>>()
        .and_then(|chain| if chain.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(chain) })
        .map_err(|error| pem(certificate, CERTIFICATE, &text, error))?;
    let text = read(key)?;
    let private = PrivateKeyDer::from_pem_slice(&text).map_err(|error| pem(key, PRIVATE_KEY, &text, error))?;
    let pair = |error: rustls::Error| TlsError::Pair {
        certificate: certificate.to_owned(),
        key: key.to_owned(),
        problem: in_plain_words(&error),
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(pair)?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(pair)?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// What stands in a file in the place of what is expected, as far as that can be said.
fn problem_of(error: &pem::Error, expected: &str, text: &[u8]) -> Option<&'static str> {
    let has = |words: &[u8]| text.windows(words.len()).any(|window| window == words);
    let sought: &[u8] = if expected == CERTIFICATE { b"BEGIN CERTIFICATE-----" } else { b"PRIVATE KEY-----" };
    match error {
        pem::Error::NoItemsFound if has(b"ENCRYPTED PRIVATE KEY-----") => {
            Some("the private key is encrypted; give one without a passphrase")
        }
        pem::Error::NoItemsFound if has(sought) => Some("a section of it has no end"),
        pem::Error::NoItemsFound if expected == CERTIFICATE && has(b"PRIVATE KEY-----") => {
            Some("it has a private key, which belongs to --tls-key")
        }
        pem::Error::NoItemsFound if expected == PRIVATE_KEY && has(b"BEGIN CERTIFICATE-----") => {
            Some("it has a certificate, which belongs to --tls-cert")
        }
        pem::Error::NoItemsFound if text.is_empty() => Some("it is empty"),
        pem::Error::NoItemsFound => None,
        pem::Error::MissingSectionEnd { .. } => Some("a section of it has no end"),
        pem::Error::IllegalSectionStart { .. } => Some("the first line of a section is not as it must be"),
        pem::Error::Base64Decode(_) => Some("a section of it is not base64"),
        _ => Some("it cannot be read"),
    }
}

/// Why a certificate and a key are no pair.
fn in_plain_words(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InconsistentKeys(_) => "they do not belong together".to_owned(),
        rustls::Error::InvalidCertificate(_) => "the certificate is damaged".to_owned(),
        other => format!("one of them is damaged, or of a kind that is not supported ({other})"),
    }
}

/// Reads a file to its end, which a device or a pipe may not have.
fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let read = || {
        let mut bytes = Vec::new();
        File::open(path)?.take(LONGEST_FILE + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > LONGEST_FILE {
            let message = format!("it has more than {LONGEST_FILE} bytes");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
        }
        Ok(bytes)
    };
    read().map_err(|source| TlsError::Read { path: path.to_owned(), source })
}
