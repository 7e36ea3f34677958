//! Which thing a path means.
//!
//! Pure. Knows the grammar of Kubernetes paths, not which kinds exist. Invariant: a path means one thing at most.

/// What a path means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// `/version`.
    Version,
    /// `/livez`, `/readyz`, `/healthz`.
    Health,
    /// `/api`: the versions of the core group.
    CoreVersions,
    /// `/apis`: all groups.
    Groups,
    /// `/apis/G`: one group.
    Group(String),
    /// `/api/v1`, `/apis/G/V`: the resources of a version.
    Resources {
        /// The group; empty for the core group.
        group: String,
        /// The version.
        version: String,
    },
    /// `/openapi/v2`.
    OpenApiV2,
    /// `/openapi/v3`: the index.
    OpenApiV3,
    /// `/openapi/v3/apis/G/V`.
    OpenApiV3Of {
        /// The group; empty for the core group.
        group: String,
        /// The version.
        version: String,
    },
    /// Objects.
    Objects(Target),
    /// Nothing.
    Unknown,
}

/// Objects that a path means.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Target {
    /// The group; empty for the core group.
    pub group: String,
    /// The version.
    pub version: String,
    /// The plural.
    pub resource: String,
    /// The namespace; empty where the path has none.
    pub namespace: String,
    /// The name; empty for the collection.
    pub name: String,
    /// The subresource; empty for the object itself.
    pub subresource: String,
}

/// Returns what `path` means.
pub fn route(path: &str) -> Route {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    match parts.as_slice() {
        ["version"] => Route::Version,
        ["livez" | "readyz" | "healthz", ..] => Route::Health,
        ["api"] => Route::CoreVersions,
        ["apis"] => Route::Groups,
        ["apis", group] => Route::Group((*group).to_owned()),
        ["openapi", "v2"] => Route::OpenApiV2,
        ["openapi", "v3"] => Route::OpenApiV3,
        ["openapi", "v3", "api", version] => {
            Route::OpenApiV3Of { group: String::new(), version: (*version).to_owned() }
        }
        ["openapi", "v3", "apis", group, version] => {
            Route::OpenApiV3Of { group: (*group).to_owned(), version: (*version).to_owned() }
        }
        ["api", version] => Route::Resources { group: String::new(), version: (*version).to_owned() },
        ["apis", group, version] => Route::Resources { group: (*group).to_owned(), version: (*version).to_owned() },
        ["api", version, rest @ ..] => objects("", version, rest),
        ["apis", group, version, rest @ ..] => objects(group, version, rest),
        _ => Route::Unknown,
    }
}

fn objects(group: &str, version: &str, rest: &[&str]) -> Route {
    let mut target = Target { group: group.to_owned(), version: version.to_owned(), ..Target::default() };
    let rest = match rest {
        // A namespace is an object of its own unless a resource follows its name.
        ["namespaces", _] | ["namespaces"] | ["namespaces", _, "status" | "finalize"] => rest,
        ["namespaces", namespace, rest @ ..] => {
            target.namespace = (*namespace).to_owned();
            rest
        }
        rest => rest,
    };
    let (resource, name, subresource) = match rest {
        [resource] => (resource, "", ""),
        [resource, name] => (resource, *name, ""),
        [resource, name, subresource] => (resource, *name, *subresource),
        _ => return Route::Unknown,
    };
    target.resource = (*resource).to_owned();
    target.name = name.to_owned();
    target.subresource = subresource.to_owned();
    Route::Objects(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_are_objects_and_prefixes() {
        let target = |path: &str| match route(path) {
            Route::Objects(target) => (target.namespace, target.resource, target.name, target.subresource),
            other => panic!("{other:?}"),
        };
        let texts = |a: &str, b: &str, c: &str, d: &str| (a.to_owned(), b.to_owned(), c.to_owned(), d.to_owned());
        assert_eq!(target("/api/v1/namespaces/a"), texts("", "namespaces", "a", ""));
        assert_eq!(target("/api/v1/namespaces/a/status"), texts("", "namespaces", "a", "status"));
        assert_eq!(target("/api/v1/namespaces/a/pods/p/status"), texts("a", "pods", "p", "status"));
        assert_eq!(target("/apis/apps/v1/deployments"), texts("", "deployments", "", ""));
        assert_eq!(route("/apis/apps/v1"), Route::Resources { group: "apps".into(), version: "v1".into() });
        assert_eq!(route("/nope"), Route::Unknown);
    }
}
