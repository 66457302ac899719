//! The file system as the log uses it, and the lock on its directory. Tests put a failing one in its place.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::files::open_file;

use super::{LogError, LogErrorKind};

/// The file whose lock is the right to write. It stays when the log is closed: to remove it would be a race.
const LOCK: &str = "lock";

/// A directory of files.
pub(super) trait Storage: Send {
    /// For messages.
    fn path(&self) -> &Path;

    fn names(&self) -> io::Result<Vec<String>>;

    fn about(&self, name: &str) -> io::Result<About>;

    /// A file from a byte on.
    fn read(&self, name: &str, from: u64) -> io::Result<Box<dyn Read>>;

    /// A new, empty file to append to. It is an error if there is one of that name.
    fn create(&self, name: &str) -> io::Result<Box<dyn Appendable>>;

    /// A file to append to.
    fn open(&self, name: &str) -> io::Result<Box<dyn Appendable>>;

    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes sure that the names are on the disk.
    fn sync(&self) -> io::Result<()>;
}

/// What is known about a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct About {
    pub(super) bytes: u64,
    pub(super) modified: SystemTime,
    /// The time of the last change where the file system does not know it.
    pub(super) created: SystemTime,
}

/// Makes sure that what was written to a file is on the disk.
pub(super) type SyncLater = Box<dyn FnOnce() -> io::Result<()> + Send>;

/// A file that is only ever written to at its end.
pub(super) trait Appendable: Write + Send {
    /// Makes sure that what was written is on the disk.
    fn sync(&mut self) -> io::Result<()>;

    /// The same for somebody who has not the file: it may be written to meanwhile.
    fn sync_beside(&self) -> io::Result<SyncLater>;

    fn set_len(&mut self, bytes: u64) -> io::Result<()>;
}

/// A directory, locked against other writers for as long as this lives.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    lock: Option<File>,
}

/// Closing the file is not enough: a child process that is just being started has a copy of it for a moment.
impl Drop for Directory {
    fn drop(&mut self) {
        if let Some(lock) = &self.lock {
            let _ = lock.unlock();
        }
    }
}

impl Directory {
    /// Makes the directory if need be, and locks it.
    pub(super) fn lock(path: &Path) -> Result<Self, LogError> {
        make_directory(path).map_err(|error| LogError::io(path, error))?;
        let name = path.join(LOCK);
        refuse_links(&name).map_err(|error| LogError::io(&name, error))?;
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&name)
            .map_err(|error| LogError::io(&name, error))?;
        match file.try_lock() {
            Ok(()) => Ok(Self {
                path: path.to_owned(),
                lock: Some(file),
            }),
            Err(TryLockError::WouldBlock) => Err(LogError::new(LogErrorKind::Locked, path)),
            Err(TryLockError::Error(error)) => Err(LogError::io(&name, error)),
        }
    }

    /// A directory to read only.
    pub(super) fn unlocked(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            lock: None,
        }
    }
}

/// Makes a directory if need be, and those that it is in: no crash takes away again what is then written in it.
pub(crate) fn make_directory(path: &Path) -> io::Result<()> {
    make_and_sync(path, sync_names)
}

fn make_and_sync(path: &Path, mut sync: impl FnMut(&Path) -> io::Result<()>) -> io::Result<()> {
    let there = |path: &Path| path.as_os_str().is_empty() || path.exists();
    let missing: Vec<&Path> = path.ancestors().take_while(|path| !there(path)).collect();
    fs::create_dir_all(path)?;
    for made in missing.into_iter().rev() {
        let parent = made
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty());
        if let Err(error) = sync(parent.unwrap_or(Path::new("."))) {
            // The next attempt would find it there, and not sync. Empty, those in it go before it.
            let _ = path
                .ancestors()
                .take_while(|inner| inner.starts_with(made))
                .try_for_each(fs::remove_dir);
            return Err(error);
        }
    }
    Ok(())
}

/// Makes sure that the names in a directory are on the disk.
pub(crate) fn sync_names(directory: &Path) -> io::Result<()> {
    // Windows opens no directories as files, and needs none to be synced.
    if cfg!(windows) {
        return Ok(());
    }
    File::open(directory)?.sync_all()
}

/// Refuses a name that is there and is no plain file, such as a link to somewhere else: whoever may make links in the directory
/// would have the log cut and write files that only the log's process may. Complete segments are read through links.
fn refuse_links(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(about) if !about.is_file() => {
            let what = "it is a link, or no file, and is not written to";
            Err(io::Error::new(io::ErrorKind::InvalidInput, what))
        }
        _ => Ok(()),
    }
}

impl Storage for Directory {
    fn path(&self) -> &Path {
        &self.path
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let names = fs::read_dir(&self.path)?.map(|entry| Ok(entry?.file_name()));
        let names = names.collect::<io::Result<Vec<_>>>()?;
        // The log's own names are ASCII.
        Ok(names
            .into_iter()
            .filter_map(|name| name.into_string().ok())
            .collect())
    }

    fn about(&self, name: &str) -> io::Result<About> {
        let about = fs::metadata(self.path.join(name))?;
        let modified = about.modified()?;
        Ok(About {
            bytes: about.len(),
            modified,
            created: about.created().unwrap_or(modified),
        })
    }

    fn read(&self, name: &str, from: u64) -> io::Result<Box<dyn Read>> {
        let mut file = open_file(&self.path.join(name))?;
        file.seek(SeekFrom::Start(from))?;
        Ok(Box::new(file))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn Appendable>> {
        let mut options = OpenOptions::new();
        options.append(true).create_new(true);
        Ok(Box::new(options.open(self.path.join(name))?))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn Appendable>> {
        let path = self.path.join(name);
        refuse_links(&path)?;
        Ok(Box::new(OpenOptions::new().append(true).open(path)?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    fn sync(&self) -> io::Result<()> {
        sync_names(&self.path)
    }
}

impl Appendable for File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn sync_beside(&self) -> io::Result<SyncLater> {
        let file = self.try_clone()?;
        Ok(Box::new(move || file.sync_data()))
    }

    fn set_len(&mut self, bytes: u64) -> io::Result<()> {
        File::set_len(self, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the outermost on; once more when that has failed, and not when there is nothing to make.
    #[test]
    fn the_parents_of_directories_that_are_made_are_synced() {
        let scratch = std::env::temp_dir().join(format!("duramen-log-made-{}", std::process::id()));
        let _ = fs::remove_dir_all(&scratch);
        fs::create_dir(&scratch).unwrap();
        let path = scratch.join("a/b/c");
        let made = |fails_at: usize| {
            let mut synced = Vec::new();
            let done = make_and_sync(&path, |parent| {
                assert!(parent.is_dir());
                synced.push(parent.strip_prefix(&scratch).unwrap().to_owned());
                match synced.len() == fails_at {
                    true => Err(io::Error::other("as planned")),
                    false => sync_names(parent),
                }
            });
            (done.is_ok(), synced)
        };
        let parents = ["", "a", "a/b"].map(PathBuf::from);
        assert_eq!(made(2), (false, parents[..2].to_vec()));
        assert!(scratch.join("a").is_dir() && !scratch.join("a/b").exists());
        assert_eq!(made(0), (true, parents[1..].to_vec()));
        assert_eq!(made(0), (true, vec![]));
        assert!(path.is_dir());
        fs::remove_dir_all(&scratch).unwrap();
    }
}
