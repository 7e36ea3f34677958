//! Certificates that templates make, looked at by somebody else: `openssl`, where the machine has it.
//!
//! Kinds of keys, errors and what is deterministic are probes of `tests/functions/certificates.json`.
#![expect(clippy::disallowed_methods, reason = "a test hands files to a command")]

use std::path::Path;
use std::process::Command;

use generator::helm::{self, Capabilities, Options, Request};
use generator::source::SourceTree;

/// A certificate authority, a certificate of it, and one that signs itself.
const TEMPLATE: &str = r#"
{{- $ca := genCA "test-ca" 365 }}
{{- $cert := genSignedCert "svc.ns" (list "10.0.0.1" "::1") (list "svc" "svc.ns.svc") 30 $ca }}
{{- $own := genSelfSignedCert "own" nil (list "own.example") 10 }}
{{- list $ca.Cert $ca.Key $cert.Cert $cert.Key $own.Cert $own.Key | join "=====\n" }}"#;

fn render(template: &str, options: &Options) -> Result<String, String> {
    let mut tree = SourceTree::default();
    tree.insert("c/Chart.yaml", "apiVersion: v2\nname: c\nversion: 0.1.0\n");
    tree.insert("c/templates/t.yaml", template);
    let request = Request {
        release_name: "r".to_owned(),
        namespace: "n".to_owned(),
        layers: Vec::new(),
        set: Vec::new(),
        capabilities: Capabilities::default(),
        is_upgrade: false,
    };
    let chart = helm::load(&tree, "c").expect("a chart");
    let rendered = helm::render(&chart, &request, options).map_err(|wrong| {
        wrong
            .iter()
            .map(|d| format!("{}: {}: {}", d.code, d.message, d.hint.clone().unwrap_or_default()))
            .collect::<String>()
    })?;
    Ok(rendered.files.into_iter().map(|file| file.text).collect())
}

fn openssl(folder: &Path, args: &[&str]) -> String {
    let output = Command::new("openssl").args(args).current_dir(folder).output().expect("openssl runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "openssl {args:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

#[test]
fn certificates_are_what_openssl_takes_them_for() {
    if Command::new("openssl").arg("version").output().is_err() {
        println!("not run: there is no openssl here");
        return;
    }
    let text = render(TEMPLATE, &Options { allow_nondeterministic: true, ..Options::default() }).expect("a text");
    let folder = tempfile::tempdir().expect("a folder");
    let names = ["ca.crt", "ca.key", "svc.crt", "svc.key", "own.crt", "own.key"];
    let parts: Vec<&str> = text.split("=====\n").collect();
    assert_eq!(parts.len(), names.len());
    for (name, part) in names.iter().zip(parts) {
        std::fs::write(folder.path().join(name), part).expect("written");
    }
    let run = |args: &[&str]| openssl(folder.path(), args);
    assert_eq!(run(&["verify", "-CAfile", "ca.crt", "svc.crt"]), "svc.crt: OK\n");
    assert_eq!(run(&["verify", "-CAfile", "own.crt", "own.crt"]), "own.crt: OK\n");
    for name in ["ca", "svc", "own"] {
        let (cert, key) = (format!("{name}.crt"), format!("{name}.key"));
        let public = run(&["x509", "-in", &cert, "-noout", "-pubkey"]);
        assert_eq!(public, run(&["rsa", "-in", &key, "-pubout"]), "the key of {name}");
        run(&["rsa", "-in", &key, "-check", "-noout"]);
    }
    let text = run(&["x509", "-in", "svc.crt", "-noout", "-text"]);
    let wanted = [
        "Issuer: CN = test-ca",
        "Subject: CN = svc.ns",
        "Public-Key: (2048 bit)",
        "Digital Signature, Key Encipherment\n",
        "TLS Web Server Authentication, TLS Web Client Authentication",
        "CA:FALSE",
        "X509v3 Authority Key Identifier",
        "DNS:svc, DNS:svc.ns.svc, IP Address:10.0.0.1, IP Address:0:0:0:0:0:0:0:1",
        "Signature Algorithm: sha256WithRSAEncryption",
    ];
    // The blanks around the sign of equality differ between versions of openssl.
    let squeezed = |text: &str| text.replace(" = ", "=");
    for want in wanted {
        assert!(squeezed(&text).contains(&squeezed(want)), "{want} is not in {text}");
    }
    let text = run(&["x509", "-in", "ca.crt", "-noout", "-text"]);
    for want in ["CA:TRUE", "Digital Signature, Key Encipherment, Certificate Sign", "X509v3 Subject Key Identifier"] {
        assert!(text.contains(want), "{want} is not in {text}");
    }
    run(&["x509", "-in", "svc.crt", "-noout", "-checkend", "2500000"]);
}

#[test]
fn what_makes_keys_is_refused_by_default() {
    for call in ["genCA `x` 1", "genPrivateKey `rsa`", "genSelfSignedCert `x` nil nil 1"] {
        let wrong = render(&format!("{{{{ {call} }}}}"), &Options::default()).expect_err("refused");
        assert!(wrong.starts_with("nondeterministic: ") && wrong.contains("Secret"), "{wrong}");
    }
}
