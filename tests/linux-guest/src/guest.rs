//! Linux as the suite's guest: the kernel, initramfs, modules and image that banger's users boot, with drives of its own.

#![allow(
    clippy::expect_used,
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use async_trait::async_trait;
use banger_agent_proto::{CONTROL_PORT, ExecStart, IdentifyRequest};
use banger_conformance::{CHANNEL_DEADLINE, Does, Guest, LINE, Rig};
use banger_ext4::{FormatOptions, Journal, format_empty};
use banger_guest::{AgentClient, ExecEvent};
use banger_model::VmId;
use banger_smoke::Home;
use banger_vmm::{Drive, DriveRole, KernelFiles, Machine};
use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::Mutex;

const DISK_BYTES: u64 = 1 << 30;
const PIECE_BYTES: usize = 64 * 1024;

/// Keeps the image's init from starting, because the VMM is tested and an init would only take time from it.
const INIT_DELAY_MILLIS: u32 = 600_000;

/// Our kernel and image, which are pulled when the first machine is made.
#[derive(Debug, Default)]
pub struct LinuxGuest {
    home: OnceLock<Home>,
    /// VMs whose guests were identified already.
    identified: Mutex<HashSet<VmId>>,
}

impl LinuxGuest {
    /// Returns the state directory with kernel and image. The initramfs contains this build's agent, because a start puts it
    /// there.
    fn state(&self) -> PathBuf {
        let home = self.home.get_or_init(|| {
            let home = Home::ready();
            let _ = home.text(&["vm", "run", "-q", "--rm", "--memory", "256M", "--", "true"]);
            home
        });
        home.path().join("state")
    }

    /// Connects to the guest's agent. The first caller identifies the guest, because it runs no command before that.
    async fn client(&self, machine: &dyn Machine) -> AgentClient {
        let stream = machine.connect(CONTROL_PORT, CHANNEL_DEADLINE).await.expect("the agent answers");
        let client = AgentClient::connect(stream).await.expect("the agent speaks HTTP/2");
        let mut identified = self.identified.lock().await;
        if identified.insert(machine.handle().vm.clone()) {
            client.hello("conformance", CHANNEL_DEADLINE).await.expect("it says hello");
            client.identify(identity(), CHANNEL_DEADLINE).await.expect("it becomes the VM");
        }
        client
    }
}

#[async_trait]
impl Guest for LinuxGuest {
    fn can(&self, does: Does) -> bool {
        match does {
            Does::Run | Does::End | Does::Echo => true,
            // An agent answers, and the console belongs to the kernel.
            Does::Halt | Does::Tick | Does::Drives => false,
        }
    }

    fn rig(&self, does: Does) -> Rig {
        let state = self.state();
        let (kernel, image) = (state.join("kernels/debian-12"), state.join("images/debian-bookworm"));
        let mut rig = Rig::with_kernel(|_no_file| ());
        let (overlay, work) = (rig.path("overlay.ext4"), rig.path("work.ext4"));
        for (path, label) in [(&overlay, "banger-overlay"), (&work, "banger-work")] {
            format_empty(path, options(label)).expect("there is room");
        }
        let drive = |role, path: &Path| Drive { role, path: path.to_owned() };
        rig.plan.kernel = KernelFiles {
            vmlinuz: None,
            vmlinux: kernel.join("vmlinux"),
            has_pvh_entry: true,
            initramfs: kernel.join("initramfs"),
        };
        rig.plan.drives = vec![
            drive(DriveRole::Base, &image.join("rootfs.ext4")),
            drive(DriveRole::Modules, &kernel.join("modules.ext4")),
            drive(DriveRole::Overlay, &overlay),
            drive(DriveRole::Work, &work),
        ];
        rig.plan.memory = "512M".parse().unwrap();
        // The kernel writes its command line to the console if its log level includes more than errors.
        rig.plan.kernel_arguments = vec!["loglevel=6".to_owned(), format!("conformance.line=\"{LINE}\"")];
        if does == Does::End {
            // Without a first process the kernel panics, and resets its machine.
            rig.plan.kernel_arguments.push("rdinit=/none".to_owned());
        }
        rig
    }

    async fn echo(&self, machine: &dyn Machine) -> UnixStream {
        let client = self.client(machine).await;
        let start = ExecStart { argv: vec![Bytes::from_static(b"cat")], ..ExecStart::default() };
        let session = client.exec(start, CHANNEL_DEADLINE).await.expect("`cat` starts");
        let (input, mut output) = session.split();
        let (near, far) = UnixStream::pair().unwrap();
        let (mut from_test, mut to_test) = far.into_split();
        tokio::spawn(async move {
            let mut piece = vec![0; PIECE_BYTES];
            while let Ok(count @ 1..) = from_test.read(&mut piece).await {
                let bytes = Bytes::copy_from_slice(piece.get(..count).unwrap_or_default());
                if input.stdin(bytes).await.is_err() {
                    return;
                }
            }
            let _ = input.stdin_end().await;
        });
        tokio::spawn(async move {
            // Kept, because a connection ends with its last client.
            let _client = client;
            while let Ok(Some(event)) = output.next().await {
                if let ExecEvent::Stdout(bytes) = event
                    && to_test.write_all(&bytes).await.is_err()
                {
                    return;
                }
            }
        });
        near
    }
}

fn identity() -> IdentifyRequest {
    IdentifyRequest {
        hostname: "conformance".to_owned(),
        machine_id: "0123456789abcdef0123456789abcdef".to_owned(),
        random_seed: Bytes::from_static(&[7; 64]),
        init_delay_millis: INIT_DELAY_MILLIS,
        ..IdentifyRequest::default()
    }
}

fn options(label: &str) -> FormatOptions {
    FormatOptions {
        size_bytes: DISK_BYTES,
        label: label.to_owned(),
        uuid: banger_sys::id::random_bytes(),
        hash_seed: banger_sys::id::random_bytes(),
        created_at: 1_700_000_000,
        inodes_min: 0,
        journal: Journal::Auto,
    }
}
