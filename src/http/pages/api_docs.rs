//! `/api/docs`: the API's description, `openapi.json`, as a page to read. In English, as the API's own words are.

use std::sync::LazyLock;

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use serde_json::Value;

use super::Pages;
use super::catalogue::Lang;
use super::desk::reader;
use super::error::PageError;
use super::html::{Html, escape_into};
use super::render::Screen;
use super::shell::Shell;
use crate::http::api::openapi;

#[derive(Debug, Default, Serialize)]
pub struct ApiDocsPage {
    pub intro: Vec<Html>,
    pub keys: Vec<Field>,
    /// What any call of the management API may be answered with.
    pub always: Vec<Field>,
    pub groups: Vec<Group>,
    pub shapes: Vec<Shape>,
}

#[derive(Debug, Default, Serialize)]
pub struct Group {
    pub name: String,
    pub text: Html,
    pub operations: Vec<Operation>,
}

#[derive(Debug, Default, Serialize)]
pub struct Operation {
    pub id: String,
    pub method: String,
    pub path: String,
    pub summary: String,
    pub text: Html,
    pub parameters: Vec<Field>,
    pub body: Option<Field>,
    pub answers: Vec<Field>,
}

/// A line of a table: a parameter, an answer, a member of an object.
#[derive(Debug, Default, Serialize)]
pub struct Field {
    pub name: String,
    /// What kind of value, with links to the shapes.
    pub kind: Html,
    pub text: Html,
    pub required: bool,
}

#[derive(Debug, Default, Serialize)]
pub struct Shape {
    pub name: String,
    pub text: Html,
    /// Where it is no object.
    pub kind: Html,
    pub fields: Vec<Field>,
}

pub async fn page(
    request: HttpRequest,
    pages: web::Data<Pages>,
) -> Result<HttpResponse, PageError> {
    // The description stands in the binary: it is read once.
    static PAGE: LazyLock<ApiDocsPage> = LazyLock::new(ApiDocsPage::built_in);
    let (_, shell) = reader(&pages, &request);
    let shell = Shell { lang: Lang::En.code(), ..shell };
    let html = pages.templates.render(Lang::En, &shell, &*PAGE)?;
    Ok(HttpResponse::Ok().content_type("text/html; charset=utf-8").body(html))
}

impl ApiDocsPage {
    fn built_in() -> Self {
        let document = serde_json::from_str(openapi::TEXT).expect("our own description is JSON");
        Self::of(&document)
    }

    fn of(document: &Value) -> Self {
        let reader = Reader { document };
        let schemes = members(&document["components"]["securitySchemes"]);
        Self {
            intro: text(&document["info"]["description"]).split("\n\n").map(prose).collect(),
            keys: schemes
                .map(|(_, scheme)| Field {
                    name: match (text(&scheme["scheme"]), text(&scheme["name"])) {
                        ("", name) => format!("?{name}=KEY"),
                        ("basic", _) => "Authorization: Basic base64(KEY:)".to_owned(),
                        _ => "Authorization: Bearer KEY".to_owned(),
                    },
                    text: prose(text(&scheme["description"])),
                    ..Field::default()
                })
                .collect(),
            always: ALWAYS
                .iter()
                .map(|(status, name)| {
                    let answer = &document["components"]["responses"][name];
                    Field {
                        name: (*status).to_owned(),
                        kind: reader.content(answer),
                        text: prose(text(&answer["description"])),
                        required: false,
                    }
                })
                .collect(),
            groups: list(&document["tags"])
                .map(|tag| Group {
                    name: text(&tag["name"]).to_owned(),
                    text: prose(text(&tag["description"])),
                    operations: reader.operations(&tag["name"]),
                })
                .collect(),
            shapes: in_order("\"schemas\"", members(&document["components"]["schemas"]))
                .map(|(name, schema)| Shape {
                    name: name.clone(),
                    text: prose(text(&schema["description"])),
                    kind: if schema["properties"].is_null() {
                        reader.kind(schema)
                    } else {
                        Html::default()
                    },
                    fields: reader.fields(name, schema),
                })
                .collect(),
        }
    }
}

/// Said once, not at every call.
const ALWAYS: [(&str, &str); 3] =
    [("401", "Unauthorized"), ("403", "Forbidden"), ("503", "Unavailable")];

/// Reads the description; follows its references.
struct Reader<'a> {
    document: &'a Value,
}

impl<'a> Reader<'a> {
    fn operations(&self, tag: &Value) -> Vec<Operation> {
        let mut operations = Vec::new();
        for (path, item) in in_order("\"paths\"", members(&self.document["paths"])) {
            for (method, operation) in members(item) {
                if list(&operation["tags"]).any(|of| of == tag) {
                    operations.push(self.operation(path, method, operation));
                }
            }
        }
        operations
    }

    fn operation(&self, path: &str, method: &str, operation: &'a Value) -> Operation {
        let body = &operation["requestBody"];
        Operation {
            id: text(&operation["operationId"]).to_owned(),
            method: method.to_uppercase(),
            path: path.to_owned(),
            summary: text(&operation["summary"]).to_owned(),
            text: prose(text(&operation["description"])),
            parameters: list(&operation["parameters"])
                .map(|parameter| {
                    let parameter = self.resolved(parameter);
                    Field {
                        name: text(&parameter["name"]).to_owned(),
                        kind: self.kind(&parameter["schema"]),
                        text: prose(text(&parameter["description"])),
                        required: parameter["required"] == true,
                    }
                })
                .collect(),
            body: (!body.is_null()).then(|| Field {
                kind: self.content(body),
                text: prose(text(&body["description"])),
                ..Field::default()
            }),
            answers: members(&operation["responses"])
                .filter(|(_, answer)| {
                    let is_always = |name| text(&answer["$ref"]).ends_with(&format!("/{name}"));
                    !ALWAYS.iter().any(|(_, name)| is_always(*name))
                })
                .map(|(status, answer)| {
                    let answer = self.resolved(answer);
                    Field {
                        name: status.clone(),
                        kind: self.content(answer),
                        text: prose(text(&answer["description"])),
                        required: false,
                    }
                })
                .collect(),
        }
    }

    /// What a body or an answer holds.
    fn content(&self, of: &Value) -> Html {
        let form = members(&of["content"]).next();
        form.map_or(Html::default(), |(_, form)| self.kind(&form["schema"]))
    }

    fn fields(&self, shape: &str, schema: &Value) -> Vec<Field> {
        let required: Vec<&Value> = list(&schema["required"]).collect();
        in_order(&format!("\n      \"{shape}\": {{"), members(&schema["properties"]))
            .map(|(name, member)| Field {
                name: name.clone(),
                kind: self.kind(member),
                text: prose(text(&member["description"])),
                required: required.iter().any(|one| *one == name),
            })
            .collect()
    }

    /// A kind of value in words: `text or null`, `list of Message`, `one of: a, b`.
    fn kind(&self, schema: &Value) -> Html {
        if let Some(name) = text(&schema["$ref"]).strip_prefix("#/components/schemas/") {
            return Html(format!("<a href=\"#{name}\">{name}</a>"));
        }
        for key in ["oneOf", "anyOf"] {
            if schema[key].is_array() {
                return joined(list(&schema[key]).map(|one| self.kind(one)), " or ");
            }
        }
        if schema["enum"].is_array() {
            return joined(list(&schema["enum"]).map(code), " or ");
        }
        if !schema["const"].is_null() {
            return code(&schema["const"]);
        }
        if schema["type"] == "array" {
            return Html(format!("list of {}", self.kind(&schema["items"]).0));
        }
        if schema["properties"].is_object() {
            // A small object without a name of its own is written out.
            let parts = members(&schema["properties"])
                .map(|(name, member)| Html(format!("<code>{name}</code> {}", self.kind(member).0)));
            return Html(format!("{{ {} }}", joined(parts, ", ").0));
        }
        if schema["additionalProperties"].is_object() {
            let each = self.kind(&schema["additionalProperties"]);
            return Html(format!("object of {}", each.0));
        }
        let named = |kind: &Value| match (text(kind), text(&schema["format"])) {
            ("string", "date-time") => "instant",
            ("string", "email") => "address",
            ("string", _) => "text",
            ("integer", _) => "whole number",
            ("boolean", _) => "true or false",
            ("null", _) => "null",
            ("object", _) => "object",
            ("number", _) => "number",
            _ => "anything",
        };
        let mut kind = match &schema["type"] {
            Value::Array(kinds) => joined(kinds.iter().map(|k| Html(named(k).to_owned())), " or "),
            one => Html(named(one).to_owned()),
        };
        if let Some(example) = list(&schema["examples"]).next() {
            kind.0.push_str(&format!(", such as {}", code(example).0));
        }
        kind
    }

    fn resolved(&self, value: &'a Value) -> &'a Value {
        let to = text(&value["$ref"]).strip_prefix('#');
        to.and_then(|to| self.document.pointer(to)).unwrap_or(value)
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

/// As the description has them, not by the alphabet, which is how a JSON object is read: by where each name is first
/// written after `from`.
fn in_order<'v>(
    from: &str,
    members: impl Iterator<Item = (&'v String, &'v Value)>,
) -> impl Iterator<Item = (&'v String, &'v Value)> {
    let text = openapi::TEXT;
    let rest = &text[text.find(from).unwrap_or(0)..];
    let mut members: Vec<_> = members.collect();
    members.sort_by_key(|(name, _)| rest.find(&format!("\"{name}\":")));
    members.into_iter()
}

fn joined(parts: impl Iterator<Item = Html>, between: &str) -> Html {
    Html(parts.map(|part| part.0).collect::<Vec<_>>().join(between))
}

fn code(value: &Value) -> Html {
    let plain = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    Html(format!("<code>{}</code>", Html::escaped(&plain).0))
}

/// A text in which `…` is code.
fn prose(text: &str) -> Html {
    let mut out = String::new();
    for (n, part) in text.split('`').enumerate() {
        let is_code = n % 2 == 1;
        out.push_str(if is_code { "<code>" } else { "" });
        escape_into(part, &mut out);
        out.push_str(if is_code { "</code>" } else { "" });
    }
    Html(out)
}

impl Screen for ApiDocsPage {
    const TEMPLATE: &'static str = "api-docs.html";

    fn samples() -> Vec<Self> {
        vec![Self::built_in(), Self::default()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_and_every_shape_has_its_place_and_every_link_an_end() {
        let document: Value = serde_json::from_str(openapi::TEXT).unwrap();
        let page = ApiDocsPage::of(&document);
        let operations: usize = page.groups.iter().map(|group| group.operations.len()).sum();
        let described: usize =
            members(&document["paths"]).map(|(_, item)| members(item).count()).sum();
        assert_eq!(operations, described);
        assert_eq!(page.groups[0].operations[0].path, "/api/v1/customers", "in the order written");
        let customer = page.shapes.iter().find(|shape| shape.name == "Customer").unwrap();
        assert_eq!(customer.fields[0].name, "id");
        let all = serde_json::to_string(&page).unwrap();
        for link in all.split("href=\\\"#").skip(1) {
            let to = link.split('\\').next().unwrap();
            assert!(page.shapes.iter().any(|shape| shape.name == to), "{to}");
        }
    }

    #[test]
    fn kinds_are_said_in_words() {
        let document = Value::Null;
        let kind = |json: &str| {
            Reader { document: &document }.kind(&serde_json::from_str(json).unwrap()).0
        };
        assert_eq!(kind(r#"{"type":["string","null"],"format":"date-time"}"#), "instant or null");
        assert_eq!(
            kind(r##"{"type":"array","items":{"$ref":"#/components/schemas/Rule"}}"##),
            "list of <a href=\"#Rule\">Rule</a>"
        );
        assert_eq!(kind(r#"{"enum":["a<","b"]}"#), "<code>a&lt;</code> or <code>b</code>");
        assert_eq!(prose("take `a<b>` & go").0, "take <code>a&lt;b&gt;</code> &amp; go");
    }
}
