//! On a completely full disk there is space for the writes of stopping and deleting, and no other writer can take it.

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::Path;

use banger_model::{EventKind, VmState};
use banger_store::{Event, Store, VmRow};

use crate::faults::row;

/// Runs `act` with a disk of its own, mounted with `options`, if this user may mount one.
fn on_a_small_disk(options: &str, act: impl FnOnce(&Path) + Send) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    std::thread::scope(|scope| {
        let on_it = scope.spawn(move || match mount_tmpfs(path, options) {
            Ok(()) => act(path),
            Err(error) => eprintln!("skipped: no file system can be mounted here: {error}"),
        });
        on_it.join().unwrap();
    });
}

/// Mounts in a namespace of this thread; the mount ends with it.
#[expect(unsafe_code, reason = "mount(2) and unshare(2) have no safe wrapper here")]
fn mount_tmpfs(place: &Path, options: &str) -> std::io::Result<()> {
    let text = |text: &str| CString::new(text).unwrap();
    let (place, options) = (text(place.to_str().unwrap()), text(options));
    let (none, tmpfs, root) = (text("none"), text("tmpfs"), text("/"));
    let checked =
        |result: libc::c_int| if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) };
    // SAFETY: every pointer points to a string that outlives the calls; no memory is shared with the kernel.
    unsafe {
        checked(libc::unshare(libc::CLONE_NEWNS))?;
        let private = libc::MS_REC | libc::MS_PRIVATE;
        checked(libc::mount(none.as_ptr(), root.as_ptr(), none.as_ptr(), private, std::ptr::null()))?;
        checked(libc::mount(tmpfs.as_ptr(), place.as_ptr(), tmpfs.as_ptr(), 0, options.as_ptr().cast()))
    }
}

/// Takes all the space that is left.
fn fill(file: &mut File) {
    for size in [1 << 16, 4096] {
        let block = vec![7_u8; size];
        loop {
            match file.write_all(&block) {
                Ok(()) => {}
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}");
                    break;
                }
            }
        }
    }
}

fn event() -> Event {
    Event {
        kind: EventKind::VmPaused,
        vm_id: None,
        name: "dev".into(),
        op_id: None,
        value: None,
        message: Some("host disk full".into()),
    }
}

#[test]
fn every_change_finds_room_although_somebody_takes_all_that_is_left() {
    on_a_small_disk("size=24M", |disk| {
        let store = Store::open(&disk.join("banger.db")).unwrap();
        (1..=20).for_each(|number| store.insert_vm(&row(number), None).unwrap());
        let mut thief = File::create(disk.join("thief")).unwrap();
        fill(&mut thief);
        for number in 1..=20 {
            for state in [VmState::Stopping, VmState::Stopped] {
                let changed = VmRow { state, last_error: Some("x".repeat(300)), ..row(number) };
                store.update_vm(&changed, Some("op")).unwrap();
                store.add_event(&event()).unwrap();
                fill(&mut thief);
            }
        }
        store.remove_vm(&row(7).id, None, None).unwrap();
        assert_eq!(store.list_vms().unwrap().len(), 19);
    });
}

#[test]
fn a_database_opens_on_a_full_disk_and_its_reserve_comes_back_with_the_room() {
    on_a_small_disk("size=24M", |disk| {
        let path = disk.join("banger.db");
        let store = Store::open(&path).unwrap();
        store.insert_vm(&row(1), None).unwrap();
        drop(store);
        let mut thief = File::create(disk.join("thief")).unwrap();
        fill(&mut thief);
        for _ in 0..3 {
            let store = Store::open(&path).unwrap();
            store.update_vm(&VmRow { state: VmState::Failed, ..row(1) }, None).unwrap();
            drop(store);
        }
        let store = Store::open(&path).unwrap();
        assert_eq!(store.list_vms().unwrap()[0].state, VmState::Failed);
        thief.set_len(0).unwrap();
        store.update_vm(&row(1), None).unwrap();
        assert!(fs::metadata(disk.join("banger.db-reserve")).is_ok(), "what was given up is made again");
    });
}

#[test]
fn a_database_whose_log_is_gone_opens_on_a_full_disk_with_what_is_given_up() {
    on_a_small_disk("size=24M", |disk| {
        let path = disk.join("banger.db");
        let store = Store::open(&path).unwrap();
        store.insert_vm(&row(1), None).unwrap();
        drop(store);
        // The state that another program leaves if it closes the database last.
        for suffix in ["-wal", "-shm"] {
            fs::remove_file(disk.join(format!("banger.db{suffix}"))).unwrap();
        }
        fill(&mut File::create(disk.join("thief")).unwrap());
        let store = Store::open(&path).unwrap();
        assert!(!disk.join("banger.db-reserve").exists(), "nothing was given up");
        store.remove_vm(&row(1).id, None, None).unwrap();
        assert_eq!(*store.list_vms().unwrap(), []);
    });
}
