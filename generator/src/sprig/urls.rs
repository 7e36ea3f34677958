//! `urlParse` and `urlJoin`.
//!
//! Source: Go 1.26 `net/url`, Sprig v3.3.0 `url.go`.

use std::net::Ipv6Addr;

use super::Outcome;
use crate::gotemplate::print::quote;
use crate::gotemplate::{Call, FunctionError};
use crate::value::{Map, Str, Value};

/// A part of a URL, which decides what is escaped in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Path,
    User,
    Host,
    Zone,
    Fragment,
}

#[derive(Debug, Default)]
struct Url {
    scheme: Vec<u8>,
    opaque: Vec<u8>,
    user: Option<User>,
    host: Vec<u8>,
    path: Vec<u8>,
    query: Vec<u8>,
    fragment: Vec<u8>,
}

#[derive(Debug)]
struct User {
    name: Vec<u8>,
    password: Option<Vec<u8>>,
}

fn needs_escape(byte: u8, part: Part) -> bool {
    if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
        return false;
    }
    !match part {
        Part::Path => b"$&+,/:;=@".contains(&byte),
        Part::User => b"$&+,;=".contains(&byte),
        Part::Host | Part::Zone => b"!$&'()*+,;=:[]<>\"".contains(&byte),
        Part::Fragment => b"!$&()*+,/:;=?@".contains(&byte),
    }
}

fn escape(text: &[u8], part: Part) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for byte in text {
        if needs_escape(*byte, part) {
            out.extend_from_slice(format!("%{byte:02X}").as_bytes());
        } else {
            out.push(*byte);
        }
    }
    out
}

fn unescape(text: &[u8], part: Part) -> Result<Vec<u8>, String> {
    let is_host = matches!(part, Part::Host | Part::Zone);
    let hex = |byte: Option<&u8>| byte.and_then(|b| char::from(*b).to_digit(16)).and_then(|d| u8::try_from(d).ok());
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        let byte = text[at];
        if byte != b'%' {
            if is_host && byte < 0x80 && needs_escape(byte, part) {
                return Err(format!("invalid character {} in host name", quote(&text[at..=at])));
            }
            out.push(byte);
            at += 1;
            continue;
        }
        let bad = || format!("invalid URL escape {}", quote(&text[at..text.len().min(at + 3)]));
        let (high, low) = hex(text.get(at + 1)).zip(hex(text.get(at + 2))).ok_or_else(bad)?;
        let value = high * 16 + low;
        let is_percent = &text[at..at + 3] == b"%25";
        let refused = match part {
            // A host takes only bytes past ASCII in this form; a zone also what a host may not hold as it is.
            Part::Host => high < 8 && !is_percent,
            Part::Zone => !is_percent && value != b' ' && needs_escape(value, Part::Host),
            _ => false,
        };
        if refused {
            return Err(bad());
        }
        out.push(value);
        at += 3;
    }
    Ok(out)
}

fn find(text: &[u8], byte: u8) -> Option<usize> {
    text.iter().position(|b| *b == byte)
}

fn cut(text: &[u8], byte: u8) -> (&[u8], Option<&[u8]>) {
    find(text, byte).map_or((text, None), |at| (&text[..at], Some(&text[at + 1..])))
}

impl Url {
    fn parse(text: &[u8]) -> Result<Url, String> {
        let failed = |text: &[u8], error: String| format!("parse {}: {error}", quote(text));
        let (before, fragment) = cut(text, b'#');
        let mut url = Url::parse_before_fragment(before).map_err(|error| failed(before, error))?;
        url.fragment = unescape(fragment.unwrap_or_default(), Part::Fragment).map_err(|error| failed(text, error))?;
        Ok(url)
    }

    fn parse_before_fragment(text: &[u8]) -> Result<Url, String> {
        if text.iter().any(|b| *b < b' ' || *b == 0x7f) {
            return Err("net/url: invalid control character in URL".to_owned());
        }
        let mut url = Url::default();
        if text == b"*" {
            url.path = b"*".to_vec();
            return Ok(url);
        }
        let (scheme, rest) = scheme(text)?;
        url.scheme = scheme.to_ascii_lowercase();
        let (mut rest, query) = cut(rest, b'?');
        url.query = query.unwrap_or_default().to_vec();
        if !rest.starts_with(b"/") {
            if !url.scheme.is_empty() {
                url.opaque = rest.to_vec();
                return Ok(url);
            }
            if cut(rest, b'/').0.contains(&b':') {
                return Err("first path segment in URL cannot contain colon".to_owned());
            }
        }
        if (!url.scheme.is_empty() || !rest.starts_with(b"///"))
            && let Some(after) = rest.strip_prefix(b"//")
        {
            let end = find(after, b'/').unwrap_or(after.len());
            let authority = &after[..end];
            rest = &after[end..];
            url.set_authority(authority)?;
        }
        url.path = unescape(rest, Part::Path)?;
        Ok(url)
    }

    fn set_authority(&mut self, authority: &[u8]) -> Result<(), String> {
        let at = authority.iter().rposition(|b| *b == b'@');
        self.host = host(&self.scheme, at.map_or(authority, |at| &authority[at + 1..]))?;
        let Some(at) = at else { return Ok(()) };
        let user = &authority[..at];
        let is_allowed = |b: &u8| b.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(b);
        if !user.iter().all(is_allowed) {
            return Err("net/url: invalid userinfo".to_owned());
        }
        let (name, password) = cut(user, b':');
        let password = password.map(|password| unescape(password, Part::User)).transpose()?;
        self.user = Some(User { name: unescape(name, Part::User)?, password });
        Ok(())
    }

    fn host_name(&self) -> &[u8] {
        let mut host = &self.host[..];
        if let Some(colon) = host.iter().rposition(|b| *b == b':')
            && is_port(&host[colon..])
        {
            host = &host[..colon];
        }
        host.strip_prefix(b"[").and_then(|inner| inner.strip_suffix(b"]")).unwrap_or(host)
    }

    fn text(&self) -> Vec<u8> {
        let mut out = Vec::new();
        if !self.scheme.is_empty() {
            out.extend_from_slice(&self.scheme);
            out.push(b':');
        }
        if self.opaque.is_empty() {
            if !(self.host.is_empty() && self.user.is_none()) || (!self.scheme.is_empty() && !self.path.is_empty()) {
                out.extend_from_slice(b"//");
            }
            if let Some(user) = &self.user {
                out.extend_from_slice(&user.text());
                out.push(b'@');
            }
            out.extend_from_slice(&escape(&self.host, Part::Host));
            let path = if self.path == b"*" { self.path.clone() } else { escape(&self.path, Part::Path) };
            if !path.is_empty() && !path.starts_with(b"/") && !self.host.is_empty() {
                out.push(b'/');
            }
            if out.is_empty() && cut(&path, b'/').0.contains(&b':') {
                out.extend_from_slice(b"./");
            }
            out.extend_from_slice(&path);
        } else {
            out.extend_from_slice(&self.opaque);
        }
        if !self.query.is_empty() {
            out.push(b'?');
            out.extend_from_slice(&self.query);
        }
        if !self.fragment.is_empty() {
            out.push(b'#');
            out.extend_from_slice(&escape(&self.fragment, Part::Fragment));
        }
        out
    }
}

impl User {
    fn text(&self) -> Vec<u8> {
        let mut out = escape(&self.name, Part::User);
        if let Some(password) = &self.password {
            out.push(b':');
            out.extend_from_slice(&escape(password, Part::User));
        }
        out
    }
}

fn scheme(text: &[u8]) -> Result<(&[u8], &[u8]), String> {
    for (at, byte) in text.iter().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' => {}
            b'0'..=b'9' | b'+' | b'-' | b'.' if at > 0 => {}
            b':' if at == 0 => return Err("missing protocol scheme".to_owned()),
            b':' => return Ok((&text[..at], &text[at + 1..])),
            _ => break,
        }
    }
    Ok((&[], text))
}

fn is_port(text: &[u8]) -> bool {
    text.is_empty() || text.strip_prefix(b":").is_some_and(|digits| digits.iter().all(u8::is_ascii_digit))
}

fn host(scheme: &[u8], host: &[u8]) -> Result<Vec<u8>, String> {
    let bad_port = |port: &[u8]| format!("invalid port {} after host", quote(port));
    match host.iter().rposition(|b| *b == b'[') {
        Some(0) => return bracketed(host),
        Some(_) => return Err("invalid IP-literal".to_owned()),
        None => {}
    }
    let first = find(host, b':');
    let last = host.iter().rposition(|b| *b == b':');
    let is_web = matches!(scheme, b"http" | b"https");
    if let Some(colon) = if is_web { first } else { last }
        && !is_port(&host[colon..])
    {
        return Err(bad_port(&host[colon..]));
    }
    unescape(host, Part::Host)
}

fn bracketed(host: &[u8]) -> Result<Vec<u8>, String> {
    let close = host.iter().rposition(|b| *b == b']').ok_or("missing ']' in host")?;
    let port = &host[close + 1..];
    if !is_port(port) {
        return Err(format!("invalid port {} after host", quote(port)));
    }
    let inner = &host[1..close];
    let zone = inner.windows(3).position(|window| window == b"%25");
    let mut name = unescape(&inner[..zone.unwrap_or(inner.len())], Part::Host)?;
    let address = String::from_utf8_lossy(&name).into_owned();
    if address.parse::<Ipv6Addr>().is_err() {
        if address.parse::<std::net::Ipv4Addr>().is_ok() {
            return Err("invalid IP-literal".to_owned());
        }
        let reason = "unable to parse IP";
        return Err(format!("invalid host: ParseAddr({}): {reason}", quote(&name)));
    }
    if let Some(zone) = zone {
        name.extend(unescape(&inner[zone..], Part::Zone)?);
    }
    Ok([b"[", &name[..], b"]", port].concat())
}

pub(super) fn url_parse(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::String(text)] = args else { return Err(FunctionError::shape()) };
    let url = Url::parse(text.as_bytes()).map_err(|error| format!("unable to parse url: {error}"))?;
    let user = url.user.as_ref().map(User::text).unwrap_or_default();
    let entries = [
        ("scheme", &url.scheme[..]),
        ("host", &url.host),
        ("hostname", url.host_name()),
        ("path", &url.path),
        ("query", &url.query),
        ("opaque", &url.opaque),
        ("fragment", &url.fragment),
        ("userinfo", &user),
    ];
    Ok(Value::map(entries.map(|(key, part)| (key, Value::from(Str::from(part))))))
}

pub(super) fn url_join(_: &mut Call<'_>, args: &[Value]) -> Outcome {
    let [Value::Map(map)] = args else { return Err(FunctionError::shape()) };
    let mut url = Url {
        scheme: part(map, "scheme")?,
        host: part(map, "host")?,
        path: part(map, "path")?,
        query: part(map, "query")?,
        opaque: part(map, "opaque")?,
        fragment: part(map, "fragment")?,
        user: None,
    };
    let user = part(map, "userinfo")?;
    if !user.is_empty() {
        let text = [b"proto://", &user[..], b"@host"].concat();
        url.user = Url::parse(&text).map_err(|error| format!("unable to parse userinfo in dict: {error}"))?.user;
    }
    Ok(Value::from(Str::from(url.text())))
}

fn part(map: &Map, key: &str) -> Result<Vec<u8>, FunctionError> {
    match map.get(key) {
        None => Ok(Vec::new()),
        Some(Value::String(text)) => Ok(text.as_bytes().to_vec()),
        Some(Value::Nil) => Err("runtime error: invalid memory address or nil pointer dereference".into()),
        Some(other) => {
            let kind = other.kind().name();
            Err(format!("unable to parse {key} key, must be of type string, but {kind} found").into())
        }
    }
}
