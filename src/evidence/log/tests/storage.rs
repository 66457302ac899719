//! A directory whose calls fail as a test says.

use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::super::storage::{About, Appendable, Directory, Storage, SyncLater};
use super::super::{LogError, LogOptions};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Call {
    Write,
    Sync,
    SetLen,
    Read,
    Create,
    Open,
    Rename,
    Remove,
    SyncNames,
    Names,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fault {
    None,
    Fails(io::ErrorKind),
    /// A write writes that many bytes and says so; the next one is asked again. What is read seems to end after that
    /// many bytes, and goes on when it is read again, as a file that was appended to meanwhile. A list of names has so many of the
    /// last segments not, as one that was begun before they were.
    Short(usize),
    /// A write writes that many bytes and fails.
    Torn(usize),
    /// A sync fails, and what was not synced before is gone.
    Forgets,
}

type Plan = Box<dyn FnMut(Call) -> Fault + Send>;

/// Says which calls fail. Clones are the same.
#[derive(Clone)]
pub(super) struct Faults {
    plan: Arc<Mutex<Plan>>,
    /// Whether syncs beside the writer are held up.
    held: Arc<AtomicBool>,
    /// How many milliseconds each of them takes.
    slow: Arc<AtomicU64>,
}

impl Faults {
    pub(super) fn none() -> Self {
        Self::new(|_| Fault::None)
    }

    pub(super) fn new(plan: impl FnMut(Call) -> Fault + Send + 'static) -> Self {
        Self {
            plan: Arc::new(Mutex::new(Box::new(plan))),
            held: Arc::new(AtomicBool::new(false)),
            // So that there is time to write meanwhile.
            slow: Arc::new(AtomicU64::new(1)),
        }
    }

    /// Whether syncs beside the writer are held up from now on.
    pub(super) fn hold_syncs(&self, held: bool) {
        self.held.store(held, Ordering::SeqCst);
    }

    /// How long syncs beside the writer take from now on.
    pub(super) fn slow_syncs(&self, time: Duration) {
        self.slow.store(time.as_millis() as u64, Ordering::SeqCst);
    }

    /// From now on these.
    pub(super) fn set(&self, plan: impl FnMut(Call) -> Fault + Send + 'static) {
        *self.plan.lock().unwrap() = Box::new(plan);
    }

    fn ask(&self, call: Call) -> Fault {
        self.plan.lock().unwrap()(call)
    }

    fn check(&self, call: Call) -> io::Result<()> {
        outcome(self.ask(call))
    }
}

fn outcome(fault: Fault) -> io::Result<()> {
    match fault {
        Fault::None => Ok(()),
        Fault::Fails(kind) => Err(kind.into()),
        _ => Err(io::Error::other("as planned")),
    }
}

/// Comes to an end, and is longer then.
struct Growing<B, A> {
    before: B,
    after: A,
    ended: bool,
}

impl<B: Read, A: Read> Read for Growing<B, A> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if self.ended {
            return self.after.read(bytes);
        }
        let read = self.before.read(bytes)?;
        self.ended = read == 0;
        Ok(read)
    }
}

pub(super) struct Faulty {
    directory: Directory,
    faults: Faults,
}

impl Faulty {
    pub(super) fn new(options: &LogOptions, faults: &Faults) -> Result<Self, LogError> {
        Ok(Self {
            directory: Directory::lock(options.directory())?,
            faults: faults.clone(),
        })
    }
}

impl Faulty {
    /// For who only reads, beside a writer.
    pub(super) fn beside(directory: &Path, faults: &Faults) -> Self {
        Self {
            directory: Directory::unlocked(directory),
            faults: faults.clone(),
        }
    }
}

impl Storage for Faulty {
    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = self.directory.names()?;
        match self.faults.ask(Call::Names) {
            Fault::Short(count) => {
                names.retain(|name| name.ends_with(".jsonl"));
                names.sort();
                names.truncate(names.len() - count);
            }
            fault => outcome(fault)?,
        }
        Ok(names)
    }

    fn about(&self, name: &str) -> io::Result<About> {
        self.directory.about(name)
    }

    fn read(&self, name: &str, from: u64) -> io::Result<Box<dyn Read>> {
        let fault = self.faults.ask(Call::Read);
        if let Fault::Short(count) = fault {
            let before = self.directory.read(name, from)?.take(count as u64);
            let after = self.directory.read(name, from + count as u64)?;
            return Ok(Box::new(Growing {
                before,
                after,
                ended: false,
            }));
        }
        outcome(fault)?;
        self.directory.read(name, from)
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn Appendable>> {
        self.faults.check(Call::Create)?;
        let file = self.directory.create(name)?;
        Ok(self.file(file, 0))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn Appendable>> {
        self.faults.check(Call::Open)?;
        let bytes = self.about(name)?.bytes;
        let file = self.directory.open(name)?;
        Ok(self.file(file, bytes))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.faults.check(Call::Rename)?;
        self.directory.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.faults.check(Call::Remove)?;
        self.directory.remove(name)
    }

    fn sync(&self) -> io::Result<()> {
        self.faults.check(Call::SyncNames)
    }
}

impl Faulty {
    fn file(&self, file: Box<dyn Appendable>, bytes: u64) -> Box<dyn Appendable> {
        let contents = Contents {
            file,
            bytes,
            synced: bytes,
        };
        Box::new(FaultyFile {
            contents: Arc::new(Mutex::new(contents)),
            faults: self.faults.clone(),
        })
    }
}

struct FaultyFile {
    contents: Arc<Mutex<Contents>>,
    faults: Faults,
}

struct Contents {
    file: Box<dyn Appendable>,
    bytes: u64,
    synced: u64,
}

impl Contents {
    /// Syncs what there was when there were so many bytes.
    fn sync(&mut self, faults: &Faults, bytes: u64) -> io::Result<()> {
        match faults.ask(Call::Sync) {
            // Not really: what survives the machine is not what is tested, and a real sync takes milliseconds.
            Fault::None => {
                self.synced = self.synced.max(bytes);
                Ok(())
            }
            Fault::Forgets => {
                self.bytes = self.synced;
                self.file.set_len(self.synced)?;
                Err(io::Error::other("as planned"))
            }
            Fault::Fails(kind) => Err(kind.into()),
            _ => Err(io::Error::other("as planned")),
        }
    }
}

impl Write for FaultyFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (count, fails) = match self.faults.ask(Call::Write) {
            Fault::None => (bytes.len(), false),
            Fault::Fails(kind) => return Err(kind.into()),
            Fault::Short(count) => (count.clamp(1, bytes.len()), false),
            Fault::Torn(count) => (count.min(bytes.len()), true),
            Fault::Forgets => return Err(io::Error::other("as planned")),
        };
        let mut contents = self.contents.lock().unwrap();
        contents.file.write_all(&bytes[..count])?;
        contents.bytes += count as u64;
        if fails {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Appendable for FaultyFile {
    fn sync(&mut self) -> io::Result<()> {
        let mut contents = self.contents.lock().unwrap();
        let bytes = contents.bytes;
        contents.sync(&self.faults, bytes)
    }

    fn sync_beside(&self) -> io::Result<SyncLater> {
        let (contents, faults) = (Arc::clone(&self.contents), self.faults.clone());
        let bytes = contents.lock().unwrap().bytes;
        Ok(Box::new(move || {
            let slow = faults.slow.load(Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(slow));
            while faults.held.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(1));
            }
            contents.lock().unwrap().sync(&faults, bytes)
        }))
    }

    fn set_len(&mut self, bytes: u64) -> io::Result<()> {
        self.faults.check(Call::SetLen)?;
        self.contents.lock().unwrap().file.set_len(bytes)
    }
}
