//! What of a server's response answers the query. The rest of it is not believed.

use std::time::Duration;

use banger_model::egress::HostName;
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{DNSClass, RData, Record, RecordType};

use super::super::message::{Answer, alias_record, host_name};

/// Longest chain of aliases.
const ALIASES_MAX: usize = 16;
/// Number of records in an answer.
const RECORDS_MAX: usize = 256;
/// Longest time for which an answer is believed.
const TTL_SECS_MAX: u32 = 60 * 60;
/// Longest time for which the absence of records is believed.
const ABSENCE_SECS_MAX: u32 = 60;

/// What was found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// By which name: that of the query, or with one of the host's search domains.
    pub(super) name: HostName,
    pub(super) answer: Answer,
    /// For how long it is valid.
    pub(super) ttl: Duration,
}

impl Found {
    pub(super) fn of_code(name: &HostName, code: ResponseCode) -> Self {
        Self { name: name.clone(), answer: Answer::of_code(code), ttl: Duration::ZERO }
    }

    /// Takes the records of a response that answer a query for `name`, which was asked by `asked`.
    pub(super) fn of_response(message: Message, asked: &HostName, name: &HostName, kind: RecordType) -> Self {
        let code = message.metadata.response_code;
        let (mut records, mut owner, mut aliases) = (Vec::new(), name.clone(), 0);
        if asked != name {
            records.push(alias_record(asked, name, TTL_SECS_MAX));
        }
        // Aliases may stand in any order.
        while let Some(alias) = message.answers.iter().find(|record| is_alias(record, &owner, kind)) {
            let RData::CNAME(target) = &alias.data else { break };
            aliases += 1;
            match host_name(&target.0) {
                Some(target) if aliases <= ALIASES_MAX => owner = target,
                _ => return Self::of_code(name, ResponseCode::ServFail),
            }
            records.push(alias.clone());
        }
        let is_answer = |record: &Record| {
            record.record_type() == kind
                && record.dns_class == DNSClass::IN
                && host_name(&record.name).as_ref() == Some(&owner)
        };
        let answers: Vec<Record> = message.answers.into_iter().filter(is_answer).take(RECORDS_MAX).collect();
        let is_absent = answers.is_empty();
        records.extend(answers);
        for record in &mut records {
            record.ttl = record.ttl.min(TTL_SECS_MAX);
        }
        let authority = message
            .authorities
            .into_iter()
            .find(|record| is_absent && record.record_type() == RecordType::SOA);
        let ttl_secs = match (&authority, is_absent) {
            (Some(record), true) => absence_secs(record),
            (None, true) => 0,
            (_, false) => records.iter().map(|record| record.ttl).min().unwrap_or(0),
        };
        let answer = Answer { code, records, authority };
        Self { name: name.clone(), answer, ttl: Duration::from_secs(ttl_secs.into()) }
    }

    /// Tells whether there is a record of the type that was asked for.
    pub(super) fn has_records(&self, kind: RecordType) -> bool {
        self.answer.records.iter().any(|record| record.record_type() == kind)
    }
}

fn is_alias(record: &Record, owner: &HostName, kind: RecordType) -> bool {
    kind != RecordType::CNAME
        && record.record_type() == RecordType::CNAME
        && record.dns_class == DNSClass::IN
        && host_name(&record.name).as_ref() == Some(owner)
}

/// RFC 2308.
fn absence_secs(record: &Record) -> u32 {
    let RData::SOA(soa) = &record.data else { return 0 };
    record.ttl.min(soa.minimum).min(ABSENCE_SECS_MAX)
}
