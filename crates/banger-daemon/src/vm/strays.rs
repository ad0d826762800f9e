//! Finds processes that still run from the directories of VMs. It takes a look through all processes of the host, and one
//! look answers everybody who has asked before it began: many VMs are deleted at once.

use std::io;
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use banger_sys::process::ProcessIdentity;
use tokio::sync::oneshot::{self, error::TryRecvError};

use crate::vmm_source::VmmSource;

type Answer = io::Result<Vec<ProcessIdentity>>;

/// Finds machines of VMs by their processes.
pub(super) struct Strays {
    vmms: Arc<dyn VmmSource>,
    /// Held for a look-up only.
    waiting: Mutex<Vec<Question>>,
    /// Held by the one that looks.
    looking: tokio::sync::Mutex<()>,
}

struct Question {
    directory: PathBuf,
    answer: oneshot::Sender<Answer>,
}

impl Strays {
    pub(super) fn new(vmms: Arc<dyn VmmSource>) -> Self {
        Self { vmms, waiting: Mutex::default(), looking: tokio::sync::Mutex::default() }
    }

    /// Returns the processes that run from a VM's state directory at some time after the call.
    pub(super) async fn machines_of(&self, directory: &Path) -> Answer {
        loop {
            let (sender, mut answer) = oneshot::channel();
            self.lock().push(Question { directory: directory.to_owned(), answer: sender });
            let _looking = self.looking.lock().await;
            match answer.try_recv() {
                // Somebody has looked meanwhile.
                Ok(found) => return found,
                // Somebody was about to answer, and gave up.
                Err(TryRecvError::Closed) => continue,
                Err(TryRecvError::Empty) => self.look().await,
            }
            if let Ok(found) = answer.await {
                return found;
            }
        }
    }

    async fn look(&self) {
        let questions = mem::take(&mut *self.lock());
        let directories: Vec<_> = questions.iter().map(|question| question.directory.clone()).collect();
        let vmms = Arc::clone(&self.vmms);
        let found = tokio::task::spawn_blocking(move || vmms.machines_of(&directories)).await;
        let found = found.map_err(io::Error::other).flatten();
        for Question { directory, answer } in questions {
            let own = match &found {
                Ok(all) => {
                    let own = all.iter().filter(|(_, of)| *of == directory);
                    Ok(own.map(|(process, _)| *process).collect())
                }
                Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
            };
            // Who asked may have gone.
            let _ = answer.send(own);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Question>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use banger_model::WantedVmm;
    use banger_vmm::{Vmm, VmmKind};
    use futures::future::join_all;

    use super::*;
    use crate::vmm_source::{ChosenVmm, NoVmm};

    /// Finds this process in every directory, tells of each look and waits until it may go on.
    struct Slow {
        begun: mpsc::Sender<usize>,
        go_on: Mutex<mpsc::Receiver<()>>,
    }

    impl VmmSource for Slow {
        fn choose(&self, _wanted: WantedVmm) -> Result<ChosenVmm, NoVmm> {
            unreachable!("nothing is started")
        }

        fn of_kind(&self, _kind: VmmKind) -> Option<Arc<dyn Vmm>> {
            None
        }

        fn end_orphans(&self, _vms: &Path, _known: &[ProcessIdentity], _kept: &[PathBuf]) -> usize {
            0
        }

        fn machines_of(&self, directories: &[PathBuf]) -> io::Result<Vec<(ProcessIdentity, PathBuf)>> {
            self.begun.send(directories.len()).unwrap();
            self.go_on.lock().unwrap().recv().map_err(io::Error::other)?;
            let this = ProcessIdentity::of(std::process::id()).unwrap();
            Ok(directories.iter().map(|directory| (this, directory.clone())).collect())
        }
    }

    #[tokio::test]
    async fn one_look_answers_everybody_who_has_asked_before_it_began() {
        let ((begun, looks), (go_on, may_go_on)) = (mpsc::channel(), mpsc::channel());
        let strays = Strays::new(Arc::new(Slow { begun, go_on: Mutex::new(may_go_on) }));
        let places: Vec<_> = (0..20).map(|number| PathBuf::from(format!("/vms/{number}"))).collect();
        let mut first = Box::pin(strays.machines_of(Path::new("/vms/first")));
        assert!(futures::poll!(&mut first).is_pending());
        let mut others = Box::pin(join_all(places.iter().map(|place| strays.machines_of(place))));
        assert!(futures::poll!(&mut others).is_pending());
        go_on.send(()).unwrap();
        go_on.send(()).unwrap();
        let (first, others) = tokio::join!(first, others);
        assert_eq!(first.unwrap().len(), 1);
        assert!(others.into_iter().all(|found| found.unwrap().len() == 1));
        drop(strays);
        assert_eq!(looks.iter().collect::<Vec<_>>(), [1, 20]);
    }

    #[tokio::test]
    async fn one_that_gives_up_while_it_looks_leaves_nobody_without_an_answer() {
        let ((begun, _looks), (go_on, may_go_on)) = (mpsc::channel(), mpsc::channel());
        let strays = Strays::new(Arc::new(Slow { begun, go_on: Mutex::new(may_go_on) }));
        let mut other = Box::pin(strays.machines_of(Path::new("/vms/other")));
        {
            let looking = strays.looking.lock().await;
            assert!(futures::poll!(&mut other).is_pending());
            // It has taken the question of the other as well, and is dropped with it.
            let mut gone = Box::pin(strays.look());
            assert!(futures::poll!(&mut gone).is_pending());
            drop((gone, looking));
        }
        go_on.send(()).unwrap();
        go_on.send(()).unwrap();
        assert_eq!(other.await.unwrap().len(), 1);
    }
}
