//! Files to and from the guest, whose root is a directory here.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use banger_agent::test_guest;
use banger_agent_proto::{
    ReadTreeRequest, TreeData, TreeDirectory, TreeEnd, TreeFile, TreeFileEnd, TreeItem, TreeMetadata,
    WriteTreeReply, WriteTreeRequest, WriteTreeStart, tree_item::Item,
};
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};

use crate::guest::{Client, PATIENCE, client};

struct Guest {
    root: tempfile::TempDir,
    client: Client,
}

impl Guest {
    async fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let client = client(&test_guest::ports(root.path()).unwrap()).await;
        Self { root, client }
    }

    /// A path below root's home.
    fn home(&self, path: &str) -> std::path::PathBuf {
        self.root.path().join("root").join(path)
    }

    async fn read(&mut self, path: impl AsRef<Path>) -> Result<Vec<Item>, Status> {
        let path = Bytes::copy_from_slice(path.as_ref().as_os_str().as_encoded_bytes());
        let mut replies =
            self.client.read_tree(ReadTreeRequest { path, follow_link: false }).await?.into_inner();
        let mut items = Vec::new();
        while let Some(reply) = replies.message().await? {
            items.extend(reply.items.into_iter().map(|item| item.item.unwrap()));
        }
        Ok(items)
    }

    async fn write(&mut self, destination: &str, items: Vec<Item>) -> Result<WriteTreeReply, Status> {
        let (sender, requests) = mpsc::channel(4);
        sender.send(begin(destination)).await.unwrap();
        sender.send(more(items)).await.unwrap();
        drop(sender);
        Ok(self.client.write_tree(ReceiverStream::new(requests)).await?.into_inner())
    }
}

fn begin(destination: &str) -> WriteTreeRequest {
    let destination = Bytes::copy_from_slice(destination.as_bytes());
    let start = WriteTreeStart { destination, into_directory: false, keep_owners: false };
    WriteTreeRequest { start: Some(start), items: Vec::new() }
}

fn more(items: Vec<Item>) -> WriteTreeRequest {
    let items = items.into_iter().map(|item| TreeItem { item: Some(item) }).collect();
    WriteTreeRequest { start: None, items }
}

fn file(name: &str, content: &'static str) -> Vec<Item> {
    let metadata = Some(TreeMetadata { mode: 0o4751, ..TreeMetadata::default() });
    let size = content.len() as u64;
    vec![
        Item::File(TreeFile { name: Bytes::copy_from_slice(name.as_bytes()), metadata, size }),
        Item::Data(TreeData { offset: 0, content: content.into() }),
        Item::FileEnd(TreeFileEnd { size }),
    ]
}

fn end() -> Item {
    Item::End(TreeEnd {})
}

#[tokio::test]
async fn what_is_written_can_be_read_back_below_the_home() {
    let mut guest = Guest::new().await;
    let mut items = file("tool", "#!/bin/sh");
    items.push(end());
    let reply = guest.write("", items).await.unwrap();
    assert_eq!(reply, WriteTreeReply { files: 1, bytes: 9 });
    let mode = fs::metadata(guest.home("tool")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o751);
    let items = guest.read("tool").await.unwrap();
    assert!(matches!(&items[0], Item::File(file) if file.name == "tool" && file.size == 9), "{items:?}");
    assert!(matches!(&items[1], Item::Data(data) if data.content == "#!/bin/sh"), "{items:?}");
    assert_eq!(items.last(), Some(&end()));
}

#[tokio::test]
async fn many_small_files_travel_together() {
    let mut guest = Guest::new().await;
    let directory = guest.home("many");
    fs::create_dir(&directory).unwrap();
    for number in 0..1000 {
        fs::write(directory.join(number.to_string()), "x").unwrap();
    }
    let request = ReadTreeRequest { path: "many".into(), follow_link: false };
    let mut replies = guest.client.read_tree(request).await.unwrap().into_inner();
    let (mut messages, mut files) = (0, 0);
    while let Some(reply) = replies.message().await.unwrap() {
        messages += 1;
        files += reply.items.iter().filter(|item| matches!(item.item, Some(Item::File(_)))).count();
    }
    assert_eq!(files, 1000);
    assert!(messages < 10, "{messages}");
}

#[tokio::test]
async fn what_cannot_be_done_is_told_in_one_sentence() {
    let mut guest = Guest::new().await;
    let missing = guest.read("nothing").await.unwrap_err();
    let expected = format!("there is no `{}`", guest.home("nothing").display());
    assert_eq!((missing.code(), missing.message()), (Code::FailedPrecondition, expected.as_str()));
    let refused = guest.write("no/such/place", vec![end()]).await.unwrap_err();
    let expected = format!("there is no directory `{}`", guest.home("no/such").display());
    assert_eq!(refused.message(), expected);
    let hostile = TreeDirectory { name: "..".into(), metadata: None };
    let refused = guest.write("", vec![Item::Enter(hostile), end()]).await.unwrap_err();
    assert_eq!(refused.message(), "`..` is not a valid file name");
    let (sender, requests) = mpsc::channel(1);
    sender.send(more(Vec::new())).await.unwrap();
    drop(sender);
    let refused = guest.client.write_tree(ReceiverStream::new(requests)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_host_that_goes_away_leaves_no_part_of_a_file() {
    let mut guest = Guest::new().await;
    for is_clean in [true, false] {
        let (sender, requests) = mpsc::channel(4);
        sender.send(begin("")).await.unwrap();
        let mut items = file("big", "begun");
        items.pop();
        sender.send(more(items)).await.unwrap();
        let mut client = guest.client.clone();
        let call = tokio::spawn(async move { client.write_tree(ReceiverStream::new(requests)).await });
        let home = guest.home("");
        let count = || fs::read_dir(&home).unwrap().count();
        wait_until(|| is_written_below(&home)).await;
        if is_clean {
            // The end of the requests is not the end of the tree.
            drop(sender);
            let refused = call.await.unwrap().unwrap_err();
            assert_eq!(refused.message(), "the tree is incomplete");
        } else {
            call.abort();
        }
        wait_until(|| count() == 0 && !is_written_below(&home)).await;
    }
    assert_eq!(guest.read("").await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_host_that_takes_nothing_stops_the_reader() {
    let mut guest = Guest::new().await;
    fs::write(guest.home("big"), vec![1; 64 << 20]).unwrap();
    let request = ReadTreeRequest { path: "big".into(), follow_link: false };
    let mut replies = guest.client.read_tree(request).await.unwrap().into_inner();
    replies.message().await.unwrap();
    // Other calls continue meanwhile.
    assert!(guest.read("none").await.is_err());
    drop(replies);
    assert!(guest.read("none").await.is_err());
}

/// Tells whether this process has a file open in this directory, with a name or without one (`proc_pid_fd(5)`).
fn is_written_below(directory: &Path) -> bool {
    let open = fs::read_dir("/proc/self/fd").unwrap().flatten();
    open.filter_map(|entry| fs::read_link(entry.path()).ok()).any(|path| path.parent() == Some(directory))
}

/// Waits for an action of a thread of the agent, which the test is not notified of.
async fn wait_until(mut is_done: impl FnMut() -> bool) {
    let waiting = async {
        while !is_done() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect("it does not happen");
}
