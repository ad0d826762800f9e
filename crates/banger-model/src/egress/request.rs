//! Requests in rules: methods, and paths or their beginnings.

use std::borrow::Cow;
use std::collections::BTreeSet;

/// A path as it is compared: it starts with `/`, has no query, no `.` or `..` and no empty segment inside, and an escape only
/// where a character needs one. A path that servers could read in two ways is none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestPath(String);

impl RequestPath {
    /// Reads the target of a request, such as `/owner/name?page=2`; `None`: servers read it in different ways, so no rule
    /// permits it.
    #[must_use]
    pub fn of_target(target: &str) -> Option<Self> {
        let path = target.split_once(['?', '#']).map_or(target, |(path, _)| path);
        let path = unescaped(path)?;
        let mut segments = path.strip_prefix('/')?.split('/').peekable();
        while let Some(segment) = segments.next() {
            let is_last = segments.peek().is_none();
            // A parameter such as `..;x` is cut off by some servers before they resolve dots.
            let bare = segment.split(';').next()?;
            if matches!(bare, "." | "..") || segment.is_empty() && !is_last {
                return None;
            }
        }
        Some(Self(path.into_owned()))
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Decodes the escapes of letters, digits, `-`, `.`, `_` and `~`, which mean the same with and without (RFC 3986), and writes all
/// others in capitals. `None`: an escaped separator, a control character, or not an escape.
fn unescaped(path: &str) -> Option<Cow<'_, str>> {
    let is_plain = |byte: u8| {
        byte.is_ascii_graphic()
            && !matches!(byte, b'\\' | b'"' | b'<' | b'>' | b'^' | b'`' | b'{' | b'|' | b'}')
    };
    if !path.bytes().all(is_plain) {
        return None;
    }
    if !path.contains('%') {
        return Some(path.into());
    }
    let mut parts = path.split('%');
    let mut plain = parts.next()?.to_owned();
    for part in parts {
        let (escape, rest) = part.split_at_checked(2)?;
        let byte = escape
            .bytes()
            .all(|digit| digit.is_ascii_hexdigit())
            .then(|| u8::from_str_radix(escape, 16).ok())??;
        match byte {
            b'/' | b'\\' | b'%' | 0..=0x1f | 0x7f => return None,
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                plain.push(char::from(byte));
            }
            _ => {
                plain.push('%');
                plain.push_str(&escape.to_ascii_uppercase());
            }
        }
        plain.push_str(rest);
    }
    Some(plain.into())
}

/// One path, or all that begin with it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PathPattern {
    /// This path only.
    Exact(RequestPath),
    /// Every path that begins with these characters, which start with a `/`.
    Prefix(RequestPath),
}

impl PathPattern {
    /// Returns the pattern of all paths.
    #[must_use]
    pub fn all() -> Self {
        Self::Prefix(RequestPath("/".to_owned()))
    }

    /// Reads `/owner/name` or `/owner/*`; `None`: it is neither.
    #[must_use]
    pub fn of_text(text: &str) -> Option<Self> {
        if text.contains(['?', '#']) || text.trim_end_matches('*').contains('*') || text.ends_with("**") {
            return None;
        }
        match text.strip_suffix('*') {
            Some(prefix) => RequestPath::of_target(prefix).map(Self::Prefix),
            None => RequestPath::of_target(text).map(Self::Exact),
        }
    }

    fn matches(&self, path: &RequestPath) -> bool {
        match self {
            Self::Exact(exact) => exact == path,
            Self::Prefix(prefix) => path.0.starts_with(&prefix.0),
        }
    }

    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (_, Self::Exact(path)) => self.matches(path),
            (Self::Exact(_), Self::Prefix(_)) => false,
            (Self::Prefix(_), Self::Prefix(path)) => self.matches(path),
        }
    }
}

impl std::fmt::Display for PathPattern {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exact(path) => formatter.write_str(&path.0),
            Self::Prefix(path) => write!(formatter, "{}*", path.0),
        }
    }
}

/// The requests that a rule means.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Requests {
    /// Methods in capitals; empty: every method.
    pub methods: BTreeSet<String>,
    /// Paths.
    pub path: PathPattern,
}

impl Requests {
    /// Reads methods such as `GET,HEAD`; `None`: some word is not a method in capitals.
    #[must_use]
    pub fn methods_of(text: &str) -> Option<BTreeSet<String>> {
        let is_method = |word: &str| {
            !word.is_empty()
                && word.bytes().all(|byte| byte.is_ascii_uppercase() || matches!(byte, b'-' | b'_'))
        };
        text.split(',').map(|word| is_method(word).then(|| word.to_owned())).collect()
    }

    /// Tells whether a request is meant. Methods are case-sensitive, as in HTTP.
    #[must_use]
    pub fn match_request(&self, method: &str, path: &RequestPath) -> bool {
        (self.methods.is_empty() || self.methods.contains(method)) && self.path.matches(path)
    }

    /// Tells whether every request that the other one means is meant.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let has_methods =
            self.methods.is_empty() || !other.methods.is_empty() && other.methods.is_subset(&self.methods);
        has_methods && self.path.covers(&other.path)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn path(target: &str) -> Option<String> {
        RequestPath::of_target(target).map(|path| path.0)
    }

    #[test]
    fn spellings_of_a_path_are_one_path() {
        for (target, plain) in [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/a/", "/a/"),
            ("/%61/%7Eb?x=../..", "/a/~b"),
            ("/a%20b%c3%a9", "/a%20b%C3%A9"),
            ("/a/.b/..c/...", "/a/.b/..c/..."),
            ("/a;v=1", "/a;v=1"),
            ("/a#x", "/a"),
        ] {
            assert_eq!(path(target).as_deref(), Some(plain), "{target}");
        }
    }

    #[test]
    fn a_path_with_two_readings_is_none() {
        for target in [
            "",
            "a",
            "*",
            "http://a/b",
            "/a/../b",
            "/..",
            "/a/./b",
            "/.",
            "/%2e%2e/b",
            "/a/%2E/b",
            "/a//b",
            "//a",
            "/a%2fb",
            "/a%5cb",
            "/a\\b",
            "/a%00",
            "/a%0a",
            "/a%25b",
            "/a%",
            "/a%2",
            "/a%zz",
            "/a%+1",
            "/a b",
            "/é",
            "/..;x/b",
            "/a\u{7f}",
            "/%2e%2e;/b",
        ] {
            assert_eq!(path(target), None, "{target}");
        }
    }

    #[test]
    fn a_rule_means_methods_and_the_begin_of_a_path() {
        let requests = |methods: &str, path: &str| Requests {
            methods: Requests::methods_of(methods).unwrap_or_default(),
            path: PathPattern::of_text(path).unwrap(),
        };
        let matches = |requests: &Requests, method: &str, target: &str| {
            requests.match_request(method, &RequestPath::of_target(target).unwrap())
        };
        let read = requests("GET,HEAD", "/owner/*");
        assert!(matches(&read, "GET", "/owner/name") && matches(&read, "HEAD", "/owner/"));
        assert!(!matches(&read, "POST", "/owner/name") && !matches(&read, "get", "/owner/name"));
        assert!(!matches(&read, "GET", "/owner") && !matches(&read, "GET", "/ownerx"));
        let one = requests("", "/hook");
        assert!(matches(&one, "POST", "/hook?x") && !matches(&one, "POST", "/hook/"));
        assert!(requests("", "/*").covers(&read) && read.covers(&requests("GET", "/owner/x")));
        assert!(
            !read.covers(&requests("", "/owner/x"))
                && !read.covers(&one)
                && !one.covers(&requests("", "/hook*"))
        );
        for text in ["", "a", "/a*b", "/**", "/../a", "/a?b"] {
            assert_eq!(PathPattern::of_text(text), None, "{text}");
        }
        for text in ["", "get", "GET,", "GET HEAD", "G3T"] {
            assert_eq!(Requests::methods_of(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_path_stays_the_same_when_it_is_read_again(target in "/[a-zA-Z0-9%./;~_-]{0,30}|\\PC{0,20}") {
            if let Some(path) = RequestPath::of_target(&target) {
                prop_assert_eq!(RequestPath::of_target(path.as_str()), Some(path.clone()));
                prop_assert!(path.as_str().split('/').all(|segment| segment != ".." && segment != "."));
            }
        }

        #[test]
        fn a_pattern_stays_the_same_when_it_is_read_again(text in "/[a-z%2E/;*]{0,12}") {
            if let Some(pattern) = PathPattern::of_text(&text) {
                prop_assert_eq!(PathPattern::of_text(&pattern.to_string()), Some(pattern));
            }
        }
    }
}
