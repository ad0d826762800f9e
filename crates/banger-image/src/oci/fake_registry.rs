//! A registry on loopback that does exactly what a test wants: also what no good registry does.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use banger_fetch::Patience;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Barrier;
use tokio::task::JoinHandle;

use super::digest::BlobDigest;
use super::documents::Descriptor;

/// What was asked.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
}

/// What is answered.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Sends so many bytes of the body, then does this.
    pub(crate) stops: Option<(usize, Stop)>,
    /// Waits for others before it begins.
    pub(crate) meets: Option<Arc<Barrier>>,
}

/// How an answer ends before its end.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stop {
    /// The connection is closed.
    Close,
    /// Nothing comes any more.
    Stall,
}

impl Reply {
    pub(crate) fn of(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into(), stops: None, meets: None }
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn meets(mut self, others: &Arc<Barrier>) -> Self {
        self.meets = Some(Arc::clone(others));
        self
    }

    pub(crate) fn stops(mut self, after: usize, how: Stop) -> Self {
        self.stops = Some((after, how));
        self
    }
}

type Answer = Box<dyn Fn(&Asked) -> Option<Reply> + Send + Sync>;

/// The registry. It has blobs and manifests; what a test adds is asked first.
pub(crate) struct FakeRegistry {
    pub(crate) host: String,
    state: Arc<State>,
    server: JoinHandle<()>,
}

struct State {
    content: Mutex<HashMap<String, Vec<u8>>>,
    answer: Answer,
    asked: Mutex<Vec<Asked>>,
    /// Requests that are being answered right now, and the most that ever were.
    busy: AtomicUsize,
    busy_max: AtomicUsize,
}

impl FakeRegistry {
    /// A registry that behaves.
    pub(crate) async fn good() -> Self {
        Self::with(|_| None).await
    }

    /// A registry that answers as the function says where it says something.
    pub(crate) async fn with(answer: impl Fn(&Asked) -> Option<Reply> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let state = Arc::new(State {
            content: Mutex::default(),
            answer: Box::new(answer),
            asked: Mutex::default(),
            busy: AtomicUsize::new(0),
            busy_max: AtomicUsize::new(0),
        });
        let shared = Arc::clone(&state);
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Self { host, state, server }
    }

    /// Adds a blob.
    pub(crate) fn blob(&self, content: &[u8]) -> Descriptor {
        let digest = BlobDigest::of(content);
        self.put(&format!("blobs/{digest}"), content);
        descriptor(&digest, content.len())
    }

    /// Adds a manifest under a tag and its digest.
    pub(crate) fn manifest(&self, tag: &str, manifest: &Value) -> BlobDigest {
        let text = manifest.to_string().into_bytes();
        let digest = BlobDigest::of(&text);
        self.put(&format!("manifests/{tag}"), &text);
        self.put(&format!("manifests/{digest}"), &text);
        digest
    }

    fn put(&self, key: &str, content: &[u8]) {
        self.state.content.lock().unwrap().insert(key.to_owned(), content.to_owned());
    }

    /// Returns what was added.
    pub(crate) fn content(&self, key: &str) -> Vec<u8> {
        self.state.content.lock().unwrap()[key].clone()
    }

    /// Returns what was asked for below a path.
    pub(crate) fn asked(&self, part: &str) -> Vec<Asked> {
        let asked = self.state.asked.lock().unwrap();
        asked.iter().filter(|asked| asked.path.contains(part)).cloned().collect()
    }

    /// Returns the most requests that were ever answered at the same time.
    pub(crate) fn busy_max(&self) -> usize {
        self.state.busy_max.load(Ordering::SeqCst)
    }
}

impl Drop for FakeRegistry {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Short waits, so that tests of slowness are quick.
pub(crate) fn impatience() -> Patience {
    Patience {
        connect: Duration::from_secs(5),
        idle: Duration::from_millis(300),
        document: Duration::from_secs(2),
        window: Duration::from_secs(2),
        tries_max: 3,
        first_pause: Duration::from_millis(1),
        pause_max: Duration::from_millis(10),
    }
}

pub(crate) fn descriptor(digest: &BlobDigest, size: usize) -> Descriptor {
    serde_json::from_value(json!({"digest": digest.to_string(), "size": size})).unwrap()
}

async fn serve(stream: TcpStream, state: Arc<State>) {
    let mut stream = BufReader::new(stream);
    let Some(asked) = read(&mut stream).await else { return };
    let busy = state.busy.fetch_add(1, Ordering::SeqCst) + 1;
    state.busy_max.fetch_max(busy, Ordering::SeqCst);
    state.asked.lock().unwrap().push(asked.clone());
    let reply = (state.answer)(&asked).unwrap_or_else(|| stored(&asked, &state));
    write(stream.get_mut(), reply).await;
    state.busy.fetch_sub(1, Ordering::SeqCst);
}

async fn read(stream: &mut BufReader<TcpStream>) -> Option<Asked> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let mut words = lines.first()?.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let headers: HashMap<_, _> = lines
        .iter()
        .skip(1)
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let length = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Asked { method, path, headers, body: String::from_utf8(body).ok()? })
}

/// Answers from what the registry has, also parts of it.
fn stored(asked: &Asked, state: &State) -> Reply {
    let content = state.content.lock().unwrap();
    let found = content.iter().find(|(key, _)| asked.path.ends_with(*key));
    let Some((_, body)) = found else {
        return Reply::of(404, r#"{"errors":[{"code":"NAME_UNKNOWN","message":"no such thing"}]}"#);
    };
    let start = asked.headers.get("range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-'));
    match start.and_then(|start| start.parse::<usize>().ok()) {
        None => Reply::of(200, body.clone()),
        Some(start) if start >= body.len() => Reply::of(416, ""),
        Some(start) => Reply::of(206, &body[start..])
            .with("Content-Range", &format!("bytes {start}-{}/{}", body.len() - 1, body.len())),
    }
}

async fn write(stream: &mut TcpStream, reply: Reply) {
    if let Some(others) = &reply.meets {
        others.wait().await;
    }
    let headers: Vec<_> = reply.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let head = format!(
        "HTTP/1.1 {} X\r\nConnection: close\r\nContent-Length: {}\r\n{}\r\n",
        reply.status,
        reply.body.len(),
        headers.concat()
    );
    let body = reply.stops.map_or(&reply.body[..], |(after, _)| &reply.body[..after]);
    // The client may have gone away: that is its right.
    let _ = stream.write_all(head.as_bytes()).await;
    let _ = stream.write_all(body).await;
    let _ = stream.flush().await;
    if let Some((_, Stop::Stall)) = reply.stops {
        // Until the client gives up.
        let _ = stream.read(&mut [0]).await;
    }
}
