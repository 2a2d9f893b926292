//! What went out and what followed it; the line that shows that no message is lost.

use std::collections::HashMap;

use serde::Serialize;

use crate::http::pages::format::{Format, UNKNOWN};
use crate::http::pages::rules::{Behind, Rows};
use crate::http::pages::words;
use crate::reports::outbox::{self, Reconciliation};
use crate::reports::rules::RuleName;
use crate::reports::today::WentOut;

#[derive(Debug, Default, Serialize)]
pub struct WentOutRow {
    pub rule: String,
    pub href: String,
    pub sent: String,
    pub sent_href: String,
    pub orders: String,
    /// Of the orders, and of what they came to.
    pub orders_href: String,
    pub share: String,
    pub credited: String,
}

/// One part of the reconciliation line.
#[derive(Debug, Default, Serialize)]
pub struct Part {
    pub n: String,
    pub text: String,
    pub href: String,
}

pub fn went_out_rows(
    format: &Format,
    went_out: &HashMap<i64, WentOut>,
    names: &HashMap<i64, RuleName>,
    lately: i64,
) -> (Vec<WentOutRow>, WentOutRow) {
    let row = |out: WentOut| WentOutRow {
        sent: format.number(out.sent),
        orders: format.number(out.orders),
        share: if out.sent > 0 {
            format.percent(out.orders as f64 / out.sent as f64, 1)
        } else {
            UNKNOWN.to_owned()
        },
        credited: format.money(out.credited),
        ..WentOutRow::default()
    };
    let mut listed: Vec<_> =
        went_out.iter().filter_map(|(id, out)| Some((names.get(id)?, *out))).collect();
    listed.sort_by(|(a, x), (b, y)| y.sent.cmp(&x.sent).then_with(|| a.key.cmp(&b.key)));
    let sum = listed.iter().fold(WentOut::default(), |sum, (_, out)| WentOut {
        sent: sum.sent + out.sent,
        orders: sum.orders + out.orders,
        credited: sum.credited + out.credited,
    });
    let rows = listed
        .into_iter()
        .map(|(name, out)| WentOutRow {
            rule: name.name.clone(),
            href: format!("/rules/{}", name.key),
            sent_href: format!("/outbox?status=sent&rule={}", name.key),
            orders_href: Behind::credited(&name.key).within(lately).href(Rows::Orders),
            ..row(out)
        })
        .collect();
    let total = WentOutRow {
        sent_href: "/outbox?status=sent".to_owned(),
        orders_href: Behind::credited_to_any().within(lately).href(Rows::Orders),
        ..row(sum)
    };
    (rows, total)
}

/// `planned = scheduled + sending + sent + failed + cancelled + in doubt`, each part a link to its rows.
pub fn reconciliation(format: &Format, line: &Reconciliation) -> Vec<Part> {
    outbox::STATUSES
        .iter()
        .zip(line.by_status)
        .map(|(status, n)| Part {
            n: format.number(n),
            text: words::known(format, "status", status),
            href: format!("/outbox?status={status}"),
        })
        .collect()
}
