use super::*;

fn composer() -> Composer {
    Composer::load(None).unwrap_or_else(|e| panic!("{e}"))
}

fn sample(locale: &str) -> MailContext {
    MailContext::samples(locale).remove(0)
}

fn overridden(files: &[(&str, &str)]) -> Result<Composer, LoadError> {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    Composer::load(Some(folder.path()))
}

const WAY_OUT: &str = "{{ unsubscribe_url }} {{ store.postal_address }}";

#[test]
fn every_built_in_template_renders_in_both_languages() {
    let composer = composer();
    assert_eq!(
        composer.names().collect::<Vec<_>>(),
        [
            "birthday",
            "browse-reminder",
            "cart-reminder",
            "first-order-thanks",
            "referral",
            "repurchase-nudge",
            "review-request",
            "win-back"
        ]
    );
    for name in composer.names() {
        for locale in ["en", "zh-CN"] {
            for (context, full) in MailContext::samples(locale).iter().zip([true, false]) {
                let mail = composer.render(name, &[locale], context).unwrap();
                assert_eq!(mail.locale, locale);
                assert!(!mail.subject.contains('\n') && mail.subject.chars().count() < 80);
                for part in [&mail.text, &mail.html] {
                    assert!(part.contains(&context.store.postal_address), "{name} {locale}");
                    assert!(part.contains("https://mail.lakeside.example/u/SAMPLE"));
                    assert_eq!(part.contains("WELCOME-10"), full, "{name} {locale}");
                    assert!(!part.contains("{{") && !part.contains("{%"), "{name} {locale}");
                }
                assert!(!mail.text.contains("\n\n\n"), "{name} {locale}:\n{}", mail.text);
                assert!(!mail.html.contains("src=\"\""), "no broken pictures");
                assert!(mail.html.contains(&format!("lang=\"{locale}\"")));
                assert!(mail.html.len() < 60_000, "Gmail cuts at 102 KB: {}", mail.html.len());
                assert!(
                    !mail.html.contains("fonts.googleapis.com"),
                    "opening a mail tells no other host"
                );
            }
        }
    }
}

#[test]
fn what_customers_and_products_are_called_cannot_become_markup() {
    let mut context = sample("en");
    context.customer.name = Some("<script>alert(1)</script>".to_owned());
    context.store.name = "Tea & \"More\" <b>".to_owned();
    context.products[0].url = Some("javascript:alert(1)".to_owned());
    let mail = composer().render("first-order-thanks", &["en"], &context).unwrap();
    assert!(!mail.html.contains("<script>alert") && !mail.html.contains("javascript:"));
    assert!(mail.html.contains("Tea &amp; &quot;More&quot; &lt;b&gt;"));
    assert!(mail.text.contains("Tea & \"More\" <b>"), "plain text is not escaped");
    assert!(mail.html.contains("/p/longjing?from=mail&amp;size=100"));
}

#[test]
fn the_customers_language_is_spoken_then_the_stores_then_english() {
    let composer = composer();
    let spoken = |wanted: &[&str]| composer.locale("win-back", wanted);
    for tag in ["zh", "zh-CN", "zh-Hans", "zh-Hans-CN", "zh_CN", "ZH-cn"] {
        assert_eq!(spoken(&[tag, "en"]), Some("zh-CN"), "{tag}");
    }
    assert_eq!(spoken(&["en-GB", "zh-CN"]), Some("en"));
    assert_eq!(spoken(&["fr", "zh-CN"]), Some("zh-CN"));
    assert_eq!(spoken(&["fr", "de"]), Some("en"));
    assert_eq!(spoken(&[]), Some("en"));
    assert_eq!(composer.locale("no-such", &["en"]), None);
}

#[test]
fn a_folder_overrides_file_by_file_and_adds_templates() {
    let composer = overridden(&[
        ("win-back.en.subject", "Come back, {{ first_name or 'friend' }}"),
        ("_foot.en.mjml", "<mj-section><mj-column><mj-text>{{ store.postal_address }} <a href=\"{{ unsubscribe_url }}\">Stop</a></mj-text></mj-column></mj-section>"),
        ("spring.de.subject", "Frühling"),
        ("spring.de.txt", WAY_OUT),
        ("spring.de.html", WAY_OUT),
        ("notes.md", "not ours"),
    ])
    .unwrap_or_else(|e| panic!("{e}"));
    assert!(composer.has("spring") && composer.has("cart-reminder"));
    let mail = composer.render("win-back", &["en"], &sample("en")).unwrap();
    assert_eq!(mail.subject, "Come back, Ann");
    assert!(mail.html.contains(">Stop</a>"));
    assert_eq!(composer.render("spring", &["fr"], &sample("en")).unwrap().subject, "Frühling");
}

#[test]
fn a_faulty_template_is_named_with_its_fault_before_anything_is_sent() {
    for (files, said) in [
        (&[("win-back.en.subject", "Hi {{ custmer.name }}")][..], "win-back.en.subject"),
        (&[("win-back.en.txt", "{% if %}")], "win-back.en.txt"),
        (
            &[("win-back.en.mjml", "<mjml><mj-body><mj-nonsense/></mj-body></mjml>")],
            "<mj-nonsense> is no element",
        ),
        (
            &[("win-back.en.mjml", "<mjml><mj-body><mj-include path=\"gone\"/></mj-body></mjml>")],
            "gone",
        ),
        (
            &[("win-back.en.txt", "Buy! {{ store.postal_address }}")],
            "{{ unsubscribe_url }} must stand in it",
        ),
        (
            &[("win-back.en.txt", "Buy! {{ unsubscribe_url }}")],
            "{{ store.postal_address }} must stand in it",
        ),
        (&[("spring.en.subject", "Spring")], "the part txt is missing"),
        (&[("spring.subject", "Spring")], "NAME.LOCALE.KIND"),
        (
            &[(
                "win-back.en.txt",
                "{% for i in range(100000) %}{% for j in range(100000) %}x{% endfor %}{% endfor %}",
            )],
            "fuel",
        ),
    ] {
        let Err(error) = overridden(files) else { panic!("{files:?} was taken") };
        let text = error.to_string();
        assert!(text.contains(said) && !text.contains('\n'), "{files:?}: {text}");
    }
}

/// Writes every mail as a file into the folder that this variable names, to be looked at in a browser.
#[test]
fn previews_are_written_where_asked() {
    let Ok(folder) = std::env::var("HOMING_TEST_PREVIEWS") else { return };
    let composer = composer();
    for name in composer.names() {
        for locale in ["en", "zh-CN"] {
            for (mut context, kind) in
                MailContext::samples(locale).into_iter().zip(["full", "bare"])
            {
                if let Ok(pictures) = std::env::var("HOMING_TEST_PICTURES") {
                    for (n, product) in context.products.iter_mut().enumerate() {
                        product.image_url =
                            product.image_url.as_ref().map(|_| format!("{pictures}/{n}.png"));
                    }
                }
                let mail = composer.render(name, &[locale], &context).unwrap();
                let stem = Path::new(&folder).join(format!("{name}.{locale}.{kind}"));
                std::fs::write(stem.with_extension(format!("{kind}.html")), mail.html).unwrap();
                std::fs::write(
                    stem.with_extension(format!("{kind}.txt")),
                    format!("{}\n\n{}", mail.subject, mail.text),
                )
                .unwrap();
            }
        }
    }
}
