//! Facts: one thing that happened, from one source, once. Intake makes them; the journal keeps and folds them.

use serde::{Deserialize, Serialize};

use crate::customers::{ConsentTold, Traits};
use crate::identity::Identifiers;
use crate::orders::{OrderStated, ProductRef};
use crate::primitives::{Currency, Timestamp};
use crate::text_enum;

text_enum! {
    /// Where a fact comes from. The names are part of a fact's key, so they never change.
    pub enum Source {
        /// The tracking API, server or browser.
        Tracking = "tracking",
        /// CSV files.
        Csv = "csv",
        /// What recipients do with our mails and preference pages.
        Mail = "mail",
        /// What operators do by hand, in the console, by the API or the command line.
        Manual = "manual",
        /// The sample store's generator.
        Demo = "demo",
    }
}

impl Source {
    /// Whose word about an order stands: the higher. Shop webhooks will stand above files.
    pub fn order_rank(self) -> i32 {
        match self {
            Self::Manual => 4,
            Self::Csv | Self::Demo => 2,
            Self::Tracking | Self::Mail => 1,
        }
    }
}

/// A fact as a source tells it: not stored yet, its customer not known yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NewFact {
    pub source: Source,
    /// Unique within the store and source: a messageId, or an order id and a hash of what is said of it.
    pub source_key: String,
    pub occurred_at: Timestamp,
    /// False for history: it may then trigger only what falls due after its arrival.
    pub live: bool,
    pub identifiers: Identifiers,
    pub body: Body,
    pub context: Context,
}

/// The circumstances of a visit; all empty for files.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Context {
    /// utm_source, else the referrer's host, else none (direct).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// utm_campaign.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub campaign: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locale: Option<String>,
    /// An IANA zone name as the client gives it, checked when used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// A crawler or scanner: kept, but counted nowhere.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub bot: bool,
}

text_enum! {
    /// What a fact says about a cart's content.
    pub enum CartChange {
        Added = "added",
        Removed = "removed",
        /// `products` is the whole content now.
        Viewed = "viewed",
    }
}

/// What happened. The serde tag is the fact's `kind` in the database and in `homing facts`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Body {
    PageViewed {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        title: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        referrer: Option<String>,
    },
    ProductViewed {
        product: ProductRef,
        currency: Option<Currency>,
    },
    ProductsListed {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        category: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        query: Option<String>,
    },
    CartChanged {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cart_id: Option<String>,
        change: CartChange,
        products: Vec<ProductRef>,
        currency: Option<Currency>,
    },
    /// Checkout Started and every step after it.
    CheckoutStarted {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cart_id: Option<String>,
        /// checkout_id, else order_id: joins the steps.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        checkout_id: Option<String>,
        /// Minor units.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        value: Option<i64>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        products: Vec<ProductRef>,
        currency: Option<Currency>,
    },
    OrderStated(OrderStated),
    OrderRefunded {
        order_id: String,
        /// Minor units in the order's currency; `None`: all of it.
        amount: Option<i64>,
    },
    /// Traits, consent, or just a link between identifiers.
    Identified {
        #[serde(default)]
        traits: Box<Traits>,
    },
    /// `previous_id`, an anonymous id, belongs to the fact's customer.
    Aliased {
        previous_id: String,
    },
    Grouped {
        group_id: String,
    },
    /// An event outside the e-commerce vocabulary.
    Tracked {
        event: String,
        #[serde(default)]
        properties: serde_json::Map<String, serde_json::Value>,
    },
    /// Unsubscribed, complained, or agreed again on our own pages.
    ConsentChanged(ConsentTold),
}

impl Body {
    pub fn kind(&self) -> &'static str {
        match self {
            Self::PageViewed { .. } => "page_viewed",
            Self::ProductViewed { .. } => "product_viewed",
            Self::ProductsListed { .. } => "products_listed",
            Self::CartChanged { .. } => "cart_changed",
            Self::CheckoutStarted { .. } => "checkout_started",
            Self::OrderStated(_) => "order_stated",
            Self::OrderRefunded { .. } => "order_refunded",
            Self::Identified { .. } => "identified",
            Self::Aliased { .. } => "aliased",
            Self::Grouped { .. } => "grouped",
            Self::Tracked { .. } => "tracked",
            Self::ConsentChanged(_) => "consent_changed",
        }
    }

    /// The order it speaks of, if any: such a fact belongs to whoever holds the order.
    pub fn order_id(&self) -> Option<&str> {
        match self {
            Self::OrderStated(order) => Some(&order.order_id),
            Self::OrderRefunded { order_id, .. } => Some(order_id),
            _ => None,
        }
    }

    /// The products it names, and the currency of their prices.
    pub fn products(&self) -> (&[ProductRef], Option<&Currency>) {
        match self {
            Self::ProductViewed { product, currency } => {
                (std::slice::from_ref(product), currency.as_ref())
            }
            Self::CartChanged { products, currency, .. }
            | Self::CheckoutStarted { products, currency, .. } => (products, currency.as_ref()),
            Self::OrderStated(order) => (&order.lines, Some(&order.currency)),
            _ => (&[], None),
        }
    }

    /// Behaviour makes visits; orders, refunds, identities and consent do not (design: Visit).
    pub fn is_behaviour(&self) -> bool {
        matches!(
            self,
            Self::PageViewed { .. }
                | Self::ProductViewed { .. }
                | Self::ProductsListed { .. }
                | Self::CartChanged { .. }
                | Self::CheckoutStarted { .. }
                | Self::Tracked { .. }
        )
    }
}

/// The part of a fact that is kept as one JSON document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Payload {
    #[serde(default, skip_serializing_if = "Identifiers::is_empty")]
    pub identifiers: Identifiers,
    #[serde(default, skip_serializing_if = "is_default_context")]
    pub context: Context,
    pub body: Body,
}

fn is_default_context(context: &Context) -> bool {
    *context == Context::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_is_the_tag() {
        let bodies = [
            Body::PageViewed { title: None, referrer: None },
            Body::OrderRefunded { order_id: "7".into(), amount: None },
            Body::Identified { traits: Box::default() },
            Body::ConsentChanged(ConsentTold { granted: false, at: None, channel: None }),
        ];
        for body in bodies {
            let json = serde_json::to_value(&body).unwrap();
            assert_eq!(json["kind"], body.kind());
            assert_eq!(serde_json::from_value::<Body>(json).unwrap(), body);
        }
    }
}
