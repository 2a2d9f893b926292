//! customers.csv: one row per customer, told as it is now.

use super::cells::{is_absent, past_instant, shown};
use super::row::{Refusal, Row, RowError, Rows, Setting, Taken, columns, identified};
use crate::journal::{ConsentTold, NewFact, Traits};
use crate::primitives::clean_text;

columns! {
    pub enum Field {
        CustomerId = "customer_id",
        Email = "email",
        Phone = "phone",
        Name = "name",
        FirstName = "first_name",
        LastName = "last_name",
        Language = "language",
        Country = "country",
        City = "city",
        CreatedAt = "created_at",
        Tags = "tags",
        ConsentEmail = "consent_email",
        ConsentAt = "consent_at",
        ConsentSource = "consent_source",
    }
}

pub struct CustomerRows {
    setting: Setting,
}

impl CustomerRows {
    pub fn new(setting: Setting) -> Self {
        Self { setting }
    }

    fn fact(&self, row: &Row<'_, Field>, taken: &mut Taken<NewFact>) -> Result<NewFact, RowError> {
        let who = row.who([Field::CustomerId, Field::Email, Field::Phone], &mut taken.notes)?;
        if who.identifiers.is_empty() {
            let reason = "is empty or masked, and so are email and phone: the row names nobody";
            return Err(row.error(Field::CustomerId, reason.to_owned()));
        }
        let mut traits = Traits {
            name: name(row)?,
            phone: who.phone,
            locale: row.words(Field::Language, 35)?,
            country: row.words(Field::Country, 100)?,
            city: row.words(Field::City, 100)?,
            tags: row.words(Field::Tags, 2_000)?.map(|all| tags(&all)),
            consent: self.consent(row)?,
            ..Traits::default()
        };
        let (zone, now) = (&self.setting.zone, self.setting.now);
        if let Some(at) = row.read(Field::CreatedAt, |text| past_instant(text, zone, now))? {
            traits.other.insert("created_at".to_owned(), at.to_string().into());
        }
        // The file tells how things are now, not how they were when the account was made.
        Ok(identified(who.identifiers, traits, now))
    }

    /// `granted` without a time may be years old: it then lifts no withdrawal that is known.
    fn consent(&self, row: &Row<'_, Field>) -> Result<Option<ConsentTold>, RowError> {
        let (zone, now) = (&self.setting.zone, self.setting.now);
        let word = row.text(Field::ConsentEmail)?;
        let granted = match word.to_ascii_lowercase().as_str() {
            "granted" => true,
            "withdrawn" => false,
            "pending" | "none" => return Ok(None),
            word if is_absent(word) => return Ok(None),
            _ => {
                let reason =
                    format!("`{}` is not one of: granted, withdrawn, pending, none", shown(&word));
                return Err(row.error(Field::ConsentEmail, reason));
            }
        };
        let at = row.read(Field::ConsentAt, |text| past_instant(text, zone, now))?;
        let channel = row.words(Field::ConsentSource, 100)?.or_else(|| Some("csv".to_owned()));
        Ok(Some(ConsentTold { granted, at, channel }))
    }
}

impl Rows for CustomerRows {
    type Columns = Field;
    type Item = NewFact;
    const ONE_OF: &'static [&'static str] = &["customer_id", "email", "phone"];

    fn take(&mut self, row: &Row<'_, Field>, taken: &mut Taken<NewFact>) {
        match self.fact(row, taken) {
            Ok(fact) => taken.items.push(fact),
            Err(error) => {
                let raw = row.record.raw.to_vec();
                taken.refused.push(Refusal { line: row.line(), error, raw });
            }
        }
    }
}

/// `name`, else its parts in the order of their script: 李婉清, Ann Li.
fn name(row: &Row<'_, Field>) -> Result<Option<String>, RowError> {
    if let Some(name) = row.words(Field::Name, 200)? {
        return Ok(Some(name));
    }
    Ok(match (row.words(Field::FirstName, 100)?, row.words(Field::LastName, 100)?) {
        (Some(first), Some(last)) => {
            let is_han = |c: char| matches!(c, '\u{3400}'..='\u{9FFF}' | '\u{20000}'..='\u{3FFFF}');
            let all_han = first.chars().chain(last.chars()).all(is_han);
            Some(if all_han { format!("{last}{first}") } else { format!("{first} {last}") })
        }
        (first, last) => first.or(last),
    })
}

fn tags(all: &str) -> Vec<String> {
    let mut tags: Vec<String> =
        all.split([';', '；']).filter_map(|tag| clean_text(tag, 100)).collect();
    tags.sort();
    tags.dedup();
    tags
}
