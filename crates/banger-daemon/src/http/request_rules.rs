//! Holds each request to what the document says of its route. A parameter that the route does not have, or a body where it
//! takes none, is refused: a caller who mistypes `folow` is not answered as if nothing had been asked for.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::{Body, HttpBody as _};
use axum::extract::{MatchedPath, Query, Request, State};
use axum::http::header::CONNECTION;
use axum::http::{Method, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use utoipa::Number;
use utoipa::openapi::path::{Operation, Parameter, ParameterIn};
use utoipa::openapi::schema::{SchemaType, Type};
use utoipa::openapi::{OpenApi, RefOr, Required, Schema};

use super::extract::{bad_request, read_bytes};

/// The rules of all routes, by method and path.
#[derive(Clone, Debug)]
pub(super) struct RequestRules(Arc<HashMap<(Method, String), RouteRules>>);

/// What a route can be asked.
#[derive(Debug, Default)]
struct RouteRules {
    parameters: Vec<ParameterRule>,
    takes_body: bool,
}

#[derive(Debug)]
struct ParameterRule {
    name: String,
    is_required: bool,
    kind: ParameterKind,
}

#[derive(Clone, Copy, Debug)]
enum ParameterKind {
    Flag,
    Number { min: u64, max: u64 },
    Text,
}

impl RequestRules {
    /// Reads the rules from the document; `undescribed` is the route of the document itself, which takes nothing.
    pub(super) fn of(document: &OpenApi, undescribed: &str) -> Self {
        let mut rules = HashMap::from([((Method::GET, undescribed.to_owned()), RouteRules::default())]);
        for (path, item) in &document.paths.paths {
            for (method, operation) in [(Method::GET, &item.get), (Method::POST, &item.post)] {
                if let Some(operation) = operation {
                    rules.insert((method, path.clone()), RouteRules::of(operation));
                }
            }
        }
        Self(Arc::new(rules))
    }

    async fn answer(&self, request: Request, body: &[u8], next: Next) -> Response {
        // That there is no such route or method is told by who answers then.
        let Some(rules) = self.of_route(&request) else { return next.run(request).await };
        let refused = rules.refuse_query(request.uri()).and_then(|()| rules.refuse_body(body));
        match refused {
            Ok(()) => next.run(request).await,
            Err(message) => bad_request(&message).into_response(),
        }
    }

    /// Returns the rules for a request; `None` where there is no such route or method.
    fn of_route(&self, request: &Request) -> Option<&RouteRules> {
        let path = request.extensions().get::<MatchedPath>()?.as_str().to_owned();
        let method = if request.method() == Method::HEAD { &Method::GET } else { request.method() };
        self.0.get(&(method.clone(), path))
    }
}

/// Passes on requests that keep to the rules. The body is read whatever the answer is: a connection with an unread rest is
/// closed, and its client would lose the request that it sends next.
pub(super) async fn hold(State(rules): State<RequestRules>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    if body.is_end_stream() {
        return rules.answer(Request::from_parts(parts, body), b"", next).await;
    }
    match read_bytes(Request::from_parts(parts.clone(), body)).await {
        Ok(body) => rules.answer(Request::from_parts(parts, Body::from(body.clone())), &body, next).await,
        Err(refusal) => ([(CONNECTION, "close")], refusal).into_response(),
    }
}

impl RouteRules {
    fn of(operation: &Operation) -> Self {
        let parameters = operation.parameters.iter().flatten();
        let parameters = parameters.filter_map(|parameter| match parameter {
            RefOr::T(parameter) if parameter.parameter_in == ParameterIn::Query => Some(parameter),
            RefOr::T(_) | RefOr::Ref(_) => None,
        });
        Self {
            parameters: parameters.map(ParameterRule::of).collect(),
            takes_body: operation.request_body.is_some(),
        }
    }

    fn refuse_query(&self, uri: &Uri) -> Result<(), String> {
        let query = Query::<Vec<(String, String)>>::try_from_uri(uri);
        let Query(pairs) = query.map_err(|error| error.body_text())?;
        for (index, (name, value)) in pairs.iter().enumerate() {
            let rule = self.parameters.iter().find(|rule| rule.name == *name);
            let rule = rule.ok_or_else(|| self.unknown(name))?;
            if pairs.iter().take(index).any(|(earlier, _)| earlier == name) {
                return Err(format!("the query parameter `{name}` is given twice"));
            }
            rule.kind.refuse(name, value)?;
        }
        let is_given = |rule: &&ParameterRule| pairs.iter().any(|(name, _)| *name == rule.name);
        match self.parameters.iter().filter(|rule| rule.is_required).find(|rule| !is_given(rule)) {
            Some(rule) => Err(format!("the query parameter `{}` is missing", rule.name)),
            None => Ok(()),
        }
    }

    fn refuse_body(&self, body: &[u8]) -> Result<(), String> {
        // `null` is what clients up to version 0.1 send in place of nothing.
        let says_nothing = matches!(body.trim_ascii(), b"" | b"null" | b"{}");
        if self.takes_body || says_nothing { Ok(()) } else { Err("this route takes no body".to_owned()) }
    }

    fn unknown(&self, name: &str) -> String {
        let known: Vec<_> = self.parameters.iter().map(|rule| format!("`{}`", rule.name)).collect();
        match known.as_slice() {
            [] => format!("unknown query parameter `{name}`; this route has none"),
            known => format!("unknown query parameter `{name}`; this route has {}", known.join(", ")),
        }
    }
}

impl ParameterRule {
    fn of(parameter: &Parameter) -> Self {
        Self {
            name: parameter.name.clone(),
            is_required: matches!(parameter.required, Required::True),
            kind: parameter.schema.as_ref().map_or(ParameterKind::Text, ParameterKind::of),
        }
    }
}

impl ParameterKind {
    fn of(schema: &RefOr<Schema>) -> Self {
        let RefOr::T(Schema::Object(object)) = schema else { return Self::Text };
        match object.schema_type {
            SchemaType::Type(Type::Boolean) => Self::Flag,
            SchemaType::Type(Type::Integer) => Self::Number {
                min: object.minimum.as_ref().map_or(0, whole),
                max: object.maximum.as_ref().map_or(u64::MAX, whole),
            },
            _ => Self::Text,
        }
    }

    fn refuse(self, name: &str, value: &str) -> Result<(), String> {
        let expected = match self {
            Self::Flag if matches!(value, "true" | "false") => return Ok(()),
            Self::Flag => "`true` or `false`".to_owned(),
            Self::Number { min, max } => {
                let is_plain = value.bytes().all(|byte| byte.is_ascii_digit());
                if is_plain && value.parse().is_ok_and(|number: u64| (min..=max).contains(&number)) {
                    return Ok(());
                }
                format!("a whole number from {min} to {max}")
            }
            Self::Text => return Ok(()),
        };
        Err(format!("the query parameter `{name}` must be {expected}, not `{value}`"))
    }
}

/// Returns a limit of the document; those of parameters are whole and not negative.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole and not negative")]
fn whole(number: &Number) -> u64 {
    match *number {
        Number::Int(number) => number.try_into().unwrap_or(0),
        Number::UInt(number) => number as u64,
        Number::Float(number) => number as u64,
    }
}
