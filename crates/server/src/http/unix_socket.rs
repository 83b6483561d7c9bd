//! The file of a Unix socket: made for its owner alone, and never in the way of another server.

use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// Only the user that the server runs as may connect.
const MODE: u32 = 0o600;

/// A socket's file. It is removed when this is dropped, unless another one has taken its place.
#[derive(Debug)]
pub(super) struct UnixSocket {
    path: PathBuf,
    /// Device and inode: which file it is.
    identity: (u64, u64),
}

impl UnixSocket {
    /// Listens at `path`. The file is made in a directory that nobody else can enter and moved from there, so that it is never there with
    /// other permissions, and a file that is left over is replaced in one step.
    ///
    /// # Errors
    /// [`ErrorKind::AddrInUse`] if somebody listens there, [`ErrorKind::AlreadyExists`] if something else than a socket is there.
    pub fn bind(path: &Path) -> io::Result<(UnixListener, Self)> {
        make_way(path)?;
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let private = directory.join(format!(".parkade-{}", std::process::id()));
        DirBuilder::new().mode(0o700).create(&private)?;
        let made = bind_in(&private, path);
        let _empty = fs::remove_dir(&private);
        made
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|identity| identity == self.identity) {
            let _gone = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|file| (file.dev(), file.ino()))
}

/// Checks that nothing is at `path` but perhaps a socket that nobody listens at.
fn make_way(path: &Path) -> io::Result<()> {
    let there = match fs::symlink_metadata(path) {
        Ok(there) => there,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !there.file_type().is_socket() {
        return Err(io::Error::new(ErrorKind::AlreadyExists, "something that is no socket is there"));
    }
    match UnixStream::connect(path) {
        Err(error) if matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::NotFound) => Ok(()),
        Err(error) => Err(error),
        Ok(_) => Err(io::Error::new(ErrorKind::AddrInUse, "another program listens there")),
    }
}

fn bind_in(private: &Path, path: &Path) -> io::Result<(UnixListener, UnixSocket)> {
    let made = private.join("s");
    let listener = UnixListener::bind(&made)?;
    let moved = || {
        listener.set_nonblocking(true)?;
        fs::set_permissions(&made, Permissions::from_mode(MODE))?;
        let identity = identity(&made)?;
        fs::rename(&made, path)?;
        Ok(identity)
    };
    match moved() {
        Ok(identity) => Ok((listener, UnixSocket { path: path.to_owned(), identity })),
        Err(error) => {
            let _gone = fs::remove_file(&made);
            Err(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(path: &Path) -> Option<ErrorKind> {
        UnixSocket::bind(path).err().map(|error| error.kind())
    }

    #[test]
    fn a_socket_is_its_owners_and_goes_with_its_server() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("socket");
        let (_listener, socket) = UnixSocket::bind(&path).expect("a socket");
        let mode = fs::symlink_metadata(&path).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, MODE);
        assert_eq!(fs::read_dir(directory.path()).expect("readable").count(), 1, "nothing else is left");
        drop(socket);
        assert!(!path.exists());
    }

    #[test]
    fn a_socket_that_was_left_over_is_replaced_and_one_that_is_in_use_is_not() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("socket");
        drop(UnixListener::bind(&path).expect("a socket"));
        assert!(path.exists(), "it was left over");
        let (listener, _socket) = UnixSocket::bind(&path).expect("nobody listens");
        assert_eq!(kind(&path), Some(ErrorKind::AddrInUse));
        UnixStream::connect(&path).expect("the first one still listens");
        drop(listener);
        fs::remove_file(&path).expect("removable");
        fs::write(&path, "mine").expect("writable");
        assert_eq!(kind(&path), Some(ErrorKind::AlreadyExists));
        assert_eq!(fs::read_to_string(&path).expect("readable"), "mine");
        assert_eq!(kind(&directory.path().join("nowhere/socket")), Some(ErrorKind::NotFound));
    }

    #[test]
    fn a_server_that_ends_leaves_the_socket_of_its_successor() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("socket");
        let (listener, first) = UnixSocket::bind(&path).expect("a socket");
        drop(listener);
        let (_listener, _second) = UnixSocket::bind(&path).expect("nobody listens");
        drop(first);
        UnixStream::connect(&path).expect("the second one listens");
    }
}
