//! What the policy leaves of a query and of an answer.

use banger_model::egress::{HostName, Refusal};
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::TXT;
use hickory_proto::rr::{RData, RecordType};

use super::super::message::{Answer, Query, host_name, wire_name};
use super::records::Found;
use super::step::Moment;

/// Longest text in an answer, in bytes. Records for mail are shorter; tunnels are as long as they can be.
const TEXT_BYTES_MAX: usize = 4096;

/// Tells whether queries of this type are answered: not those for whole zones, for everything, or for types that exist only to
/// carry data.
pub(super) fn is_answered_to(kind: RecordType) -> bool {
    !matches!(
        kind,
        RecordType::ANY
            | RecordType::AXFR
            | RecordType::IXFR
            | RecordType::NULL
            | RecordType::OPT
            | RecordType::TSIG
            | RecordType::ZERO
    )
}

/// Decides whether a name may leave the host. The names of addresses that are closed may not.
pub(super) fn may_ask(name: &HostName, moment: &Moment<'_>) -> Result<(), Refusal> {
    moment.policy.may_resolve(name)?;
    match wire_name(name).parse_arpa_name() {
        Ok(range) => moment.policy.may_answer(range.addr(), moment.facts),
        Err(_) => Ok(()),
    }
}

/// Returns what the guest is told, and what of it was withheld.
pub(super) fn permitted(query: &Query, found: &Found, moment: &Moment<'_>) -> (Answer, Option<Refusal>) {
    let mut answer = found.answer.clone();
    // A rule that denies a name holds for its aliases, too.
    let denied = answer.records.iter().find_map(|record| {
        let RData::CNAME(target) = &record.data else { return None };
        let refusal = moment.policy.may_resolve(&host_name(&target.0)?).err()?;
        matches!(refusal, Refusal::Denied { .. }).then_some(refusal)
    });
    if denied.is_some() {
        return (Answer::of_code(ResponseCode::NXDomain), denied);
    }
    let text_bytes: usize = answer.records.iter().map(|record| text_bytes(&record.data)).sum();
    if text_bytes > TEXT_BYTES_MAX {
        return (Answer::of_code(ResponseCode::Refused), Some(Refusal::QueryKind));
    }
    let is_localhost = query.name.labels().next_back() == Some("localhost");
    let mut refusal = None;
    answer.records.retain(|record| {
        let Some(address) = record.data.ip_addr().filter(|_| !is_localhost) else { return true };
        let may = moment.policy.may_answer(address, moment.facts);
        refusal = refusal.take().or(may.clone().err());
        may.is_ok()
    });
    (answer, refusal)
}

fn text_bytes(data: &RData) -> usize {
    match data {
        RData::TXT(TXT { txt_data, .. }) => txt_data.iter().map(|part| part.len()).sum(),
        RData::Unknown { rdata, .. } => rdata.anything.len(),
        _ => 0,
    }
}
