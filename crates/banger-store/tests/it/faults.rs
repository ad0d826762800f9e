//! A store whose disk or file fails gives a clear error, and loses nothing that was there.

use std::fs::{self, OpenOptions};
use std::path::Path;

use banger_model::{VmSpec, VmState};
use banger_store::{GuestIdentity, Store, StoreError, VmRow};

pub(crate) fn row(number: u32) -> VmRow {
    VmRow {
        id: format!("{number:016x}").parse().unwrap(),
        name: format!("vm-{number}").parse().unwrap(),
        state: VmState::Stopped,
        pending: None,
        spec: VmSpec {
            image: "debian-bookworm".parse().unwrap(),
            kernel: "debian-12".parse().unwrap(),
            vcpus: "1".parse().unwrap(),
            memory: "512M".parse().unwrap(),
            work_disk: "8G".parse().unwrap(),
            overlay_disk: "8G".parse().unwrap(),
        },
        machine: None,
        guest: GuestIdentity {
            machine_id: "0".repeat(32),
            ssh_host_key: "k".repeat(400),
            ssh_host_key_public: "ssh-ed25519 AAAA".into(),
            mac: "52:54:00:00:00:01".into(),
        },
        vmm_wish: "auto".parse().unwrap(),
        vmm: None,
        boot_id: None,
        last_error: None,
        created_at_ms: i64::from(number),
        started_at_ms: None,
        changed_at_ms: None,
        touched_at_ms: None,
        ttl: None,
        request: None,
        bound_to: None,
    }
}

/// Returns an error with all its causes in one line.
fn told(error: &StoreError) -> String {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
    format!("{error}{}", cause.unwrap_or_default())
}

fn copy(from: &Path, to: &Path) {
    for suffix in ["", "-wal"] {
        let file = |path: &Path| path.with_file_name(format!("banger.db{suffix}"));
        fs::copy(file(from), file(to)).unwrap();
    }
}

#[test]
fn a_database_that_another_process_holds_is_told_and_waits_no_longer_than_its_deadline() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("banger.db");
    let store = Store::open(&path).unwrap();
    store.insert_vm(&row(1), None).unwrap();
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = store.insert_vm(&row(2), None).unwrap_err();
    assert_eq!(told(&error), "the database cannot add the VM: database is locked");
    // Readers do not wait for writers.
    assert_eq!(*store.list_vms().unwrap(), [row(1)]);
    other.execute_batch("ROLLBACK").unwrap();
    store.insert_vm(&row(2), None).unwrap();
    assert_eq!(store.list_vms().unwrap().len(), 2);
}

#[test]
fn a_torn_write_loses_the_last_transaction_and_nothing_before_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("banger.db");
    let store = Store::open(&path).unwrap();
    for number in 1..=3 {
        store.insert_vm(&row(number), None).unwrap();
    }
    let log = fs::metadata(directory.path().join("banger.db-wal")).unwrap().len();
    store.insert_vm(&row(4), None).unwrap();
    // States that a power failure may leave: the database as it is on disk, with its log cut anywhere in the last
    // transaction.
    let whole = fs::metadata(directory.path().join("banger.db-wal")).unwrap().len();
    assert!(whole > log + 100);
    for cut in [log, log + 1, log + 24, log + 100, whole - 1] {
        let torn = tempfile::tempdir().unwrap();
        let torn_path = torn.path().join("banger.db");
        copy(&path, &torn_path);
        OpenOptions::new().write(true).open(torn.path().join("banger.db-wal")).unwrap().set_len(cut).unwrap();
        let store = Store::open(&torn_path).unwrap();
        assert_eq!(*store.list_vms().unwrap(), [row(1), row(2), row(3)], "cut at {cut} of {whole}");
        store.insert_vm(&row(5), None).unwrap();
    }
}

#[test]
fn a_damaged_database_is_told_and_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("banger.db");
    let store = Store::open(&path).unwrap();
    (1..=30).for_each(|number| store.insert_vm(&row(number), None).unwrap());
    drop(store);
    // Otherwise the pages would be read from the log.
    fs::remove_file(directory.path().join("banger.db-wal")).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    // All but the first page, which identifies the file as a database.
    bytes[4096..].fill(0x5a);
    fs::write(&path, &bytes).unwrap();
    let told = match Store::open(&path) {
        Err(error) => told(&error),
        Ok(store) => told(&store.list_vms().unwrap_err()),
    };
    assert!(told.contains("malformed"), "{told}");
    assert_eq!(fs::read(&path).unwrap(), bytes);
}

#[test]
fn a_full_disk_is_told_and_what_was_there_stays() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("banger.db");
    let store = Store::open(&path).unwrap();
    store.insert_vm(&row(1), None).unwrap();
    let error = in_a_world_where(libc::SYS_pwrite64, libc::ENOSPC, || {
        (2..100).find_map(|number| store.insert_vm(&row(number), None).err())
    });
    assert_eq!(told(&error.unwrap()), "the database cannot add the VM: database or disk is full");
    assert_eq!(*store.list_vms().unwrap(), [row(1)]);
    store.insert_vm(&row(2), None).unwrap();
    assert_eq!(*store.list_vms().unwrap(), [row(1), row(2)]);
}

#[test]
fn a_disk_that_fails_is_told_and_what_was_there_stays() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("banger.db");
    let store = Store::open(&path).unwrap();
    store.insert_vm(&row(1), None).unwrap();
    let error =
        in_a_world_where(libc::SYS_pwrite64, libc::EIO, || store.insert_vm(&row(2), None).unwrap_err());
    assert_eq!(told(&error), "the database cannot add the VM: disk I/O error");
    let error = in_a_world_where(libc::SYS_pwrite64, libc::EIO, || {
        let changed = VmRow { state: VmState::Failed, ..row(1) };
        store.update_vm(&changed, None).unwrap_err()
    });
    assert_eq!(told(&error), "the database cannot update the VM: disk I/O error");
    assert_eq!(*store.list_vms().unwrap(), [row(1)]);
    drop(store);
    assert_eq!(*Store::open(&path).unwrap().list_vms().unwrap(), [row(1)]);
}

#[test]
fn inspecting_a_database_writes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("banger.db");
    let store = Store::open(&path).unwrap();
    store.insert_vm(&row(1), None).unwrap();
    let before = (fs::read(&path).unwrap(), fs::read(directory.path().join("banger.db-wal")).unwrap());
    let inspected = in_a_world_where(libc::SYS_pwrite64, libc::EROFS, || Store::inspect(&path).unwrap());
    assert_eq!(inspected.len(), 1);
    let after = (fs::read(&path).unwrap(), fs::read(directory.path().join("banger.db-wal")).unwrap());
    assert!(before == after, "it was written to");
}

/// Runs `act` on a thread on which a system call fails with `errno`. A seccomp filter applies to the thread that sets it.
fn in_a_world_where<T: Send>(call: i64, errno: i32, act: impl FnOnce() -> T + Send) -> T {
    use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
    std::thread::scope(|scope| {
        let fallible = scope.spawn(move || {
            let failure = SeccompAction::Errno(errno.try_into().unwrap());
            let rules = [(call, Vec::new())].into_iter().collect();
            let architecture = std::env::consts::ARCH.try_into().unwrap();
            let filter = SeccompFilter::new(rules, SeccompAction::Allow, failure, architecture).unwrap();
            let program: BpfProgram = filter.try_into().unwrap();
            seccompiler::apply_filter(&program).unwrap();
            act()
        });
        fallible.join().unwrap()
    })
}
