//! The resolver of one guest.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use banger_model::egress::{Attempted, HostName, Refusal};
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::RecordType;

use super::super::host_naming::{HostNaming, Sources};
use super::super::message::{Answer, Query, Transport, Unreadable, address_record};
use super::super::name_table::NameTable;
use super::cache::{Cache, Cached, Key};
use super::lookup::{Lookup, Next};
use super::pace::Pace;
use super::permit::{is_answered_to, may_ask, permitted};
use super::records::Found;
use super::step::{Asker, Exchange, Moment, Step};

/// Number of lookups at a time. A guest that starts more gets no answer to the oldest.
const LOOKUPS_MAX: usize = 128;
/// Number of queries that one lookup answers.
const WAITING_MAX: usize = 32;
/// How long an answer from the host's file is valid.
const FILE_TTL: Duration = Duration::from_secs(10);

/// What the guest has asked, and what is known.
#[derive(Debug, Default)]
pub struct Resolver {
    naming: HostNaming,
    lookups: HashMap<Exchange, Lookup>,
    cache: Cache,
    names: NameTable,
    pace: Pace,
    exchanges: u64,
    steps: VecDeque<Step>,
}

impl Resolver {
    /// Returns a resolver that knows nothing yet.
    #[must_use]
    pub fn new(naming: HostNaming) -> Self {
        Self { naming, ..Self::default() }
    }

    /// Takes the host's configuration after it has changed. What other servers said is forgotten.
    pub fn set_naming(&mut self, naming: HostNaming) {
        if naming != self.naming {
            self.naming = naming;
            self.cache = Cache::default();
        }
    }

    /// Returns the names that the guest has resolved.
    #[must_use]
    pub fn names(&self) -> &NameTable {
        &self.names
    }

    /// Returns the same to note connections.
    pub fn names_mut(&mut self) -> &mut NameTable {
        &mut self.names
    }

    /// Takes a message of the guest.
    pub fn ask(&mut self, asker: Asker, transport: Transport, message: &[u8], moment: &Moment<'_>) {
        let query = match Query::read(message, transport) {
            Ok(query) => query,
            Err(Unreadable::Silence) => return,
            Err(Unreadable::Reply(message)) => return self.steps.push_back(Step::Answer { asker, message }),
        };
        if !is_answered_to(query.kind) {
            return self.refuse(asker, &query, ResponseCode::Refused, Refusal::QueryKind);
        }
        let candidates = match self.candidates(&query, moment) {
            Ok(candidates) => candidates,
            Err(refusal) => return self.refuse(asker, &query, ResponseCode::NXDomain, refusal),
        };
        if let Some(answer) = self.known(&query, moment) {
            return self.reply(asker, &query, &answer, moment);
        }
        let waiting = self.lookups.values_mut().find(|lookup| lookup.is_for(&query));
        if let Some(lookup) = waiting {
            if lookup.waiting.len() < WAITING_MAX {
                lookup.waiting.push((asker, query));
            }
            return;
        }
        if !self.pace.take(moment.now) {
            return self.refuse(asker, &query, ResponseCode::Refused, Refusal::TooManyQueries);
        }
        let first_server = self.pace.turn(&self.naming.resolv_conf);
        let mut lookup = Lookup::new(&query, candidates, first_server, &self.naming.resolv_conf, moment.now);
        lookup.waiting.push((asker, query));
        self.make_room();
        self.send(lookup, moment.now);
    }

    /// Takes what a server sent: a datagram, or some bytes of a stream.
    pub fn receive(&mut self, exchange: Exchange, bytes: &[u8], moment: &Moment<'_>) {
        let Some(mut lookup) = self.lookups.remove(&exchange) else { return };
        match lookup.receive(bytes) {
            Next::Wait => {
                self.lookups.insert(exchange, lookup);
            }
            Next::Send => {
                self.steps.push_back(Step::Close { exchange });
                self.send(lookup, moment.now);
            }
            Next::Finish(found) => {
                self.steps.push_back(Step::Close { exchange });
                self.finish(&lookup, *found, moment);
            }
        }
    }

    /// Takes that a server cannot be reached, or that its stream has ended.
    pub fn fail(&mut self, exchange: Exchange, moment: &Moment<'_>) {
        let Some(mut lookup) = self.lookups.remove(&exchange) else { return };
        self.steps.push_back(Step::Close { exchange });
        match lookup.try_next_server() {
            Next::Finish(found) => self.finish(&lookup, *found, moment),
            Next::Wait | Next::Send => self.send(lookup, moment.now),
        }
    }

    /// Returns when [`Self::tick`] has something to do.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.lookups.values().map(|lookup| lookup.deadline).min()
    }

    /// Gives up servers that have not answered in time.
    pub fn tick(&mut self, moment: &Moment<'_>) {
        let is_late =
            |(exchange, lookup): (&Exchange, &Lookup)| (lookup.deadline <= moment.now).then_some(*exchange);
        let mut late: Vec<Exchange> = self.lookups.iter().filter_map(is_late).collect();
        late.sort_unstable();
        for exchange in late {
            self.fail(exchange, moment);
        }
    }

    /// Returns what is to be done next. After every call there may be several steps.
    pub fn step(&mut self) -> Option<Step> {
        self.steps.pop_front()
    }

    /// Returns the names by which the servers are asked: the name itself, and if it has one label that label in the host's search
    /// domains first. Only those that the policy permits.
    fn candidates(&self, query: &Query, moment: &Moment<'_>) -> Result<Vec<HostName>, Refusal> {
        let search: &[HostName] =
            if query.name.labels().count() == 1 { &self.naming.resolv_conf.search } else { &[] };
        let searched =
            search.iter().filter_map(|domain| format!("{}.{domain}", query.name).parse::<HostName>().ok());
        let own = may_ask(&query.name, moment);
        let candidates: Vec<HostName> = searched
            .filter(|name| may_ask(name, moment).is_ok())
            .chain(own.is_ok().then(|| query.name.clone()))
            .collect();
        if candidates.is_empty() { own.map(|()| candidates) } else { Ok(candidates) }
    }

    /// Returns the answer if no server has to be asked.
    fn known(&self, query: &Query, moment: &Moment<'_>) -> Option<Cached> {
        let nothing = |code| Cached::new(Found::of_code(&query.name, code), moment.now, FILE_TTL);
        let is_address = matches!(query.kind, RecordType::A | RecordType::AAAA);
        let hides_v6 = query.kind == RecordType::AAAA && self.naming.resolv_conf.omits_v6;
        let tells_keys =
            matches!(query.kind, RecordType::HTTPS | RecordType::SVCB) && moment.policy.has_names();
        if query.name.labels().next_back() == Some("localhost") {
            // RFC 6761: the guest's own loopback, whatever servers say.
            let own: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
            return Some(if is_address {
                of_file(query, &own, moment.now)
            } else {
                nothing(ResponseCode::NoError)
            });
        }
        if hides_v6 || tells_keys {
            return Some(nothing(ResponseCode::NoError));
        }
        let in_file = || {
            let addresses = self.naming.hosts.addresses(&query.name).filter(|_| is_address)?;
            Some(of_file(query, addresses, moment.now))
        };
        match self.naming.sources {
            Sources::Files => Some(in_file().unwrap_or_else(|| nothing(ResponseCode::NXDomain))),
            Sources::FilesThenServers => in_file().or_else(|| self.cached(query, moment)),
            Sources::ServersThenFiles | Sources::Servers => self.cached(query, moment),
        }
    }

    fn cached(&self, query: &Query, moment: &Moment<'_>) -> Option<Cached> {
        self.cache.get(&Key::of(query), moment.now).cloned()
    }

    fn send(&mut self, mut lookup: Lookup, now: Instant) {
        self.exchanges += 1;
        let exchange = Exchange(self.exchanges);
        let (server, transport, bytes) = lookup.send(now);
        self.steps.push_back(Step::Send { exchange, server, transport, bytes });
        self.lookups.insert(exchange, lookup);
    }

    fn make_room(&mut self) {
        let oldest = self.lookups.keys().min().copied().filter(|_| self.lookups.len() >= LOOKUPS_MAX);
        if let Some(exchange) = oldest {
            self.lookups.remove(&exchange);
            self.steps.push_back(Step::Close { exchange });
        }
    }

    fn finish(&mut self, lookup: &Lookup, found: Found, moment: &Moment<'_>) {
        let in_file = || {
            lookup.waiting.first().and_then(|(_, query)| {
                let addresses = self.naming.hosts.addresses(&query.name)?;
                Some(of_file(query, addresses, moment.now))
            })
        };
        let is_missing = found.answer.code == ResponseCode::NXDomain;
        let cached = match in_file() {
            Some(known) if is_missing && self.naming.sources == Sources::ServersThenFiles => known,
            _ => {
                let ttl = found.ttl;
                Cached::new(found, moment.now, ttl)
            }
        };
        if let Some((_, query)) = lookup.waiting.first() {
            self.cache.insert(Key::of(query), &cached, moment.now);
        }
        for (asker, query) in &lookup.waiting {
            self.reply(*asker, query, &cached, moment);
        }
    }

    /// Replies with what of an answer the policy permits, and notes the names.
    fn reply(&mut self, asker: Asker, query: &Query, cached: &Cached, moment: &Moment<'_>) {
        let (answer, refusal) = permitted(query, &cached.found, moment);
        let age = cached.age(moment.now);
        let left = cached.found.ttl.saturating_sub(age);
        for address in answer.addresses().filter(|address| !address.is_loopback()) {
            self.names.insert(address, &query.name, left, moment.now);
            if cached.found.name != query.name {
                self.names.insert(address, &cached.found.name, left, moment.now);
            }
        }
        if let Some(refusal) = refusal {
            self.steps.push_back(Step::Refused {
                attempted: Attempted::Lookup { name: query.name.clone() },
                refusal,
            });
        }
        let age_secs = u32::try_from(age.as_secs()).unwrap_or(u32::MAX);
        self.steps.push_back(Step::Answer { asker, message: query.reply(&answer, age_secs) });
    }

    fn refuse(&mut self, asker: Asker, query: &Query, code: ResponseCode, refusal: Refusal) {
        self.steps
            .push_back(Step::Refused { attempted: Attempted::Lookup { name: query.name.clone() }, refusal });
        self.steps.push_back(Step::Answer { asker, message: query.reply(&Answer::of_code(code), 0) });
    }
}

/// Answers with addresses of the host's file.
fn of_file(query: &Query, addresses: &[IpAddr], now: Instant) -> Cached {
    let of_kind = addresses.iter().filter(|address| address.is_ipv6() == (query.kind == RecordType::AAAA));
    let ttl_secs = u32::try_from(FILE_TTL.as_secs()).unwrap_or(0);
    let records = of_kind.map(|address| address_record(&query.name, *address, ttl_secs)).collect();
    let answer = Answer { records, ..Answer::of_code(ResponseCode::NoError) };
    Cached::new(Found { name: query.name.clone(), answer, ttl: FILE_TTL }, now, FILE_TTL)
}

#[cfg(test)]
#[path = "guest_resolver_tests.rs"]
mod tests;
