//! What a customer did, as far as some rule asks: from the facts that are known. Pure; `situation::behaviour` asks the
//! database for the same.

use super::world::World;
use crate::journal::fold::{Fact, Folded};
use crate::journal::{Body, CartChange};
use crate::rules::Subject;
use crate::rules::condition::{Deed, Did};

/// Adds what the rules need to know beyond totals; what reached the customer is the post's to tell.
pub fn add<'f>(
    subject: &mut Subject,
    world: &World,
    folded: &Folded,
    known: impl Iterator<Item = &'f Fact>,
) {
    let needs = |what: Did| world.needs.deeds.contains_key(&what);
    let mut deeds = Vec::new();
    let mut keep = |what, at, products: Vec<String>| {
        let filed = |id: &String| world.categories?.get(id).cloned();
        let categories = products.iter().filter_map(filed).collect();
        deeds.push(Deed { what, at, products, categories });
    };
    let (first, last) = (folded.visits.values().next(), folded.visits.values().next_back());
    if let (Some(first), Some(last)) = (first, last) {
        (subject.first_channel, subject.first_campaign) =
            (first.channel.clone(), first.campaign.clone());
        (subject.last_channel, subject.last_campaign) =
            (last.channel.clone(), last.campaign.clone());
    }
    if needs(Did::Visited) {
        folded.visits.keys().for_each(|at| keep(Did::Visited, *at, Vec::new()));
    }
    if needs(Did::Bought) || needs(Did::Ordered) {
        for order in folded.log.orders.values().filter(|order| order.status.is_placed()) {
            let lines = order.lines.iter().flatten();
            let products: Vec<String> = lines.map(|line| line.id.clone()).collect();
            if order.counts() {
                keep(Did::Bought, order.placed_at(), products.clone());
            }
            keep(Did::Ordered, order.placed_at(), products);
        }
    }
    for fact in known.filter(|fact| !fact.payload.context.bot) {
        let body = &fact.payload.body;
        let what = match body {
            Body::ProductViewed { .. } => Did::Viewed,
            Body::CartChanged { change, .. } if *change != CartChange::Removed => Did::Carted,
            Body::CheckoutStarted { .. } => Did::CheckedOut,
            _ => continue,
        };
        if needs(what) {
            let products = body.products().0.iter().map(|product| product.id.clone()).collect();
            keep(what, fact.occurred_at, products);
        }
    }
    subject.deeds = deeds;
}
