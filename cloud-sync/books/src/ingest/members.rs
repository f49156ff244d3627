//! Ids of members that are made at a desk carry the number of its site (rule 12), so that no two sites make one for two people. What a
//! site says stands in its own rows; people are told (MEMBER_ID).

use crate::store::findings::{Class, Finding};
use domain::{fact::Fact, ids::MemberId};

/// The number of the site at whose desk a member of this id was made, if the id is of that form.
pub fn made_at_desk(member: &MemberId) -> Option<u64> {
    let (number, _) = member.as_str().strip_prefix('s')?.split_once('_')?;
    let is_number = !number.starts_with('0') && number.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| number.parse().ok()).flatten()
}

/// Whether the site of this number has made a member at its desk whose id is another site's. Those from before a site had its number
/// are of any other form, and what head office has it register may be any site's.
pub(super) fn check(site: u64, seq: u64, fact: &Fact) -> Option<Finding> {
    let Fact::MemberRegistered {
        member,
        head_office: false,
        ..
    } = fact
    else {
        return None;
    };
    let other = made_at_desk(member).filter(|number| *number != site)?;
    let why = format!(
        "member {member} was made here, and such ids are made at site number {other}: this one is number {site}"
    );
    Some(Finding {
        class: Class::MemberId,
        seq,
        order: None,
        detail: serde_json::json!({ "why": why, "site": member, "here": format!("s{site}_…") }).to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_site_number_makes_an_id_a_desks() {
        let of = |text: &str| made_at_desk(&text.parse().unwrap());
        assert_eq!(of("s12_a"), Some(12));
        for other in ["m1001", "s_a", "s12", "s012_a", "sx_a", "s1x_a"] {
            assert_eq!(of(other), None, "{other}");
        }
    }
}
