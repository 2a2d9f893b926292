//! `GET /api/openapi.json`: the management API and the tracking API described, in OpenAPI 3.1.
//!
//! Written by hand, in `openapi.json`: it says more than types do. Tests hold it against every route and every
//! answer, so that it cannot fall behind.

use actix_web::HttpResponse;

/// The description as it is served.
pub const TEXT: &str = include_str!("openapi.json");

pub async fn show() -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(TEXT)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::TEXT;
    use crate::clicks;
    use crate::customers::ConsentState;
    use crate::customers::suppression::SuppressionReason;
    use crate::http::api::RESOURCES;
    use crate::ledger::{Outcome, Reason};
    use crate::rules::{Class, RuleStatus, StopOn};
    use crate::scoring::{Segment, VisitorSegment};

    #[test]
    fn every_route_of_the_management_api_is_described_and_nothing_else() {
        let document: Value = serde_json::from_str(TEXT).unwrap();
        let paths = document["paths"].as_object().unwrap();
        let described: BTreeSet<(String, String)> = paths
            .iter()
            .filter_map(|(path, item)| Some((path.strip_prefix("/api/v1")?, item)))
            .flat_map(|(path, item)| {
                let methods = item.as_object().unwrap().keys();
                methods.map(|method| (path.to_owned(), method.to_uppercase())).collect::<Vec<_>>()
            })
            .collect();
        let registered = RESOURCES
            .iter()
            .flat_map(|(path, methods, _)| {
                // Every path that knows GET knows HEAD, and the description says so once.
                let methods = methods.split(", ").filter(|method| *method != "HEAD");
                methods.map(|method| ((*path).to_owned(), method.to_owned())).collect::<Vec<_>>()
            })
            .collect();
        assert_eq!(described, registered);
    }

    #[test]
    fn the_words_that_it_lists_are_the_words_there_are() {
        let document: Value = serde_json::from_str(TEXT).unwrap();
        let listed = |place: &str| {
            let found = document.pointer(&format!("/components/schemas/{place}/enum"));
            let found = found.and_then(Value::as_array).unwrap_or_else(|| panic!("{place}"));
            found.iter().map(|word| word.as_str().unwrap().to_owned()).collect::<BTreeSet<_>>()
        };
        fn all<T: ToString>(words: &[T]) -> BTreeSet<String> {
            words.iter().map(ToString::to_string).collect()
        }
        assert_eq!(listed("Outcome"), all(Outcome::ALL));
        assert_eq!(listed("Reason"), all(Reason::ALL));
        assert_eq!(listed("Segment"), all(Segment::ALL));
        assert_eq!(listed("VisitorSegment"), all(VisitorSegment::ALL));
        assert_eq!(listed("SuppressionReason"), all(SuppressionReason::ALL));
        let states = "Customer/properties/consent/properties/state";
        assert_eq!(listed(states), all(ConsentState::ALL));
        assert_eq!(listed("MessageStatus"), all(&crate::reports::outbox::STATUSES));
        let event = |member| listed(&format!("MailEvent/properties/{member}"));
        assert_eq!(event("kind"), all(clicks::EventKind::ALL));
        assert_eq!(event("agent"), all(clicks::Agent::ALL));
        assert_eq!(event("verdict"), all(clicks::Verdict::ALL));
        assert_eq!(listed("Did"), all(crate::rules::condition::Did::ALL));
        assert_eq!(listed("Rule/properties/status"), all(RuleStatus::ALL));
        assert_eq!(listed("Rule/properties/class"), all(Class::ALL));
        assert_eq!(listed("Rule/properties/stop_on/items"), all(StopOn::ALL));
    }
}
