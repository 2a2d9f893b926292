//! What a customer did, and what reached them, as SQL: rows within a time, and how many.

use std::fmt::Write;

use super::super::{Behaviour, Did, Of, Received, folded};
use super::{Dialect, Writer};

impl Writer<'_> {
    pub(super) fn behaviour(&mut self, behaviour: &Behaviour) -> String {
        let Behaviour { never, what, of, at_least, within } = behaviour;
        let deeds = match what {
            Did::Visited => {
                let time = self.time("v.started_at", *within);
                format!("visits v WHERE v.customer_id = r.customer_id AND {time}")
            }
            Did::Bought | Did::Ordered => {
                let placed = match what {
                    Did::Bought => "o.counts = TRUE",
                    _ => "o.status NOT IN ('draft', 'test')",
                };
                let time = self.time("o.placed_at", *within);
                let with = of.as_ref().map_or(String::new(), |of| {
                    let product = self.product("l.product_id", of);
                    format!(
                        " AND EXISTS (SELECT 1 FROM order_lines l WHERE l.customer_id = o.customer_id \
                         AND l.order_id = o.order_id AND {product})"
                    )
                });
                format!(
                    "orders o WHERE o.customer_id = r.customer_id AND {placed} AND {time}{with}"
                )
            }
            Did::Viewed | Did::Carted | Did::CheckedOut => {
                let (kind, products) = match what {
                    Did::Viewed => ("product_viewed", "product"),
                    Did::Carted => ("cart_changed", "products"),
                    _ => ("checkout_started", "products"),
                };
                let time = self.time("f.occurred_at", *within);
                let mut said = format!(
                    "facts f WHERE f.customer_id = r.customer_id AND f.kind = '{kind}' AND {time}"
                );
                let _ = write!(said, " AND {} IS NULL", self.told("context", "bot"));
                if *what == Did::Carted {
                    let _ = write!(said, " AND {} <> 'removed'", self.told("body", "change"));
                }
                if let Some(of) = of {
                    let with = self.with_product(products, of);
                    let _ = write!(said, " AND {with}");
                }
                said
            }
        };
        let holds = if *at_least == 1 {
            format!("EXISTS (SELECT 1 FROM {deeds})")
        } else {
            let n = self.whole(i64::from(*at_least));
            format!("(SELECT COUNT(*) FROM {deeds}) >= {n}")
        };
        if *never { format!("NOT {holds}") } else { holds }
    }

    /// A text of a fact's payload.
    fn told(&self, part: &str, key: &str) -> String {
        match self.asked.dialect {
            Dialect::Sqlite => format!("json_extract(f.payload, '$.{part}.{key}')"),
            Dialect::Postgres => format!("(f.payload::jsonb -> '{part}' ->> '{key}')"),
        }
    }

    /// Whether the fact's product, or one of its products, is the one.
    fn with_product(&mut self, key: &str, of: &Of) -> String {
        match (self.asked.dialect, key) {
            (_, "product") => {
                let id = match self.asked.dialect {
                    Dialect::Sqlite => "json_extract(f.payload, '$.body.product.id')",
                    Dialect::Postgres => "(f.payload::jsonb -> 'body' -> 'product' ->> 'id')",
                };
                self.product(id, of)
            }
            (Dialect::Sqlite, _) => {
                let product = self.product("json_extract(item.value, '$.id')", of);
                format!(
                    "EXISTS (SELECT 1 FROM json_each(f.payload, '$.body.products') item WHERE {product})"
                )
            }
            (Dialect::Postgres, _) => {
                let product = self.product("(item ->> 'id')", of);
                format!(
                    "EXISTS (SELECT 1 FROM jsonb_array_elements(\
                     COALESCE(f.payload::jsonb -> 'body' -> 'products', '[]'::jsonb)) item WHERE {product})"
                )
            }
        }
    }

    fn product(&mut self, at: &str, of: &Of) -> String {
        match of {
            Of::Product(id) => format!("{at} = {}", self.text(id)),
            Of::Category(name) => {
                let category = self.folded("p.category");
                let name = self.text(&folded(name));
                format!(
                    "{at} IN (SELECT p.product_id FROM products p WHERE p.store_id = $1 AND {category} = {name})"
                )
            }
        }
    }

    pub(super) fn received(&mut self, received: &Received) -> String {
        let rule = self.text(&received.rule);
        let at = "CASE m.status WHEN 'sent' THEN m.sent_at ELSE m.claimed_at END";
        let time = self.time(at, received.within);
        format!(
            "EXISTS (SELECT 1 FROM messages m WHERE m.customer_id = r.customer_id \
             AND m.rule_id = (SELECT id FROM rules WHERE store_id = $1 AND key = {rule}) \
             AND m.status IN ('sent', 'in_doubt') AND {time})"
        )
    }
}
