//! What all operations of a document have in common, and `utoipa` cannot know.

use super::{idempotency::KEY_CHARS_MAX, problem::PROBLEM_JSON};
use utoipa::openapi::{
    ContentBuilder, ObjectBuilder, Ref, RefOr, Required, ResponseBuilder,
    path::{Operation, ParameterBuilder, ParameterIn, PathItem},
    schema::{ComponentsBuilder, Type},
    security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};

/// Adds what all operations have in common: problems (the schema `ProblemDetails` of the document), the idempotency key,
/// the security scheme. The schema `Nothing` is a body that may be left out.
pub fn finish(mut document: utoipa::openapi::OpenApi) -> utoipa::openapi::OpenApi {
    let components = document
        .components
        .get_or_insert_with(|| ComponentsBuilder::new().build());
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("A token made with POST /v1/tokens. Scopes are roles."))
        .build();
    components
        .security_schemes
        .insert("bearer".to_owned(), RefOr::T(SecurityScheme::Http(bearer)));
    let problem = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name("ProblemDetails")))
        .build();
    let problem = ResponseBuilder::new()
        .description("Why the request was not fulfilled, and what to do about it")
        .content(PROBLEM_JSON, problem)
        .build();
    components.responses.insert("Problem".to_owned(), RefOr::T(problem));
    for item in document.paths.paths.values_mut() {
        let PathItem {
            get, put, post, delete, ..
        } = item;
        // Answers are remembered by who asked: a POST that anybody may send has no key.
        if let Some(post) = post
            && is_secured(post)
        {
            post.parameters
                .get_or_insert_default()
                .push(RefOr::T(idempotency_key()));
        }
        for operation in [get, put, post, delete].into_iter().flatten() {
            add_problems(operation);
            allow_empty_body(operation);
        }
    }
    document
}

fn is_secured(operation: &Operation) -> bool {
    let mut ways = operation.security.iter().flatten();
    ways.any(|way| serde_json::to_value(way).is_ok_and(|way| way.as_object().is_some_and(|way| !way.is_empty())))
}

fn idempotency_key() -> utoipa::openapi::path::Parameter {
    let schema = ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(KEY_CHARS_MAX))
        .build();
    ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .required(Required::True)
        .description(Some(
            "A new UUID for each request; the same one when a request is repeated",
        ))
        .schema(Some(schema))
        .build()
}

fn add_problems(operation: &mut Operation) {
    let problem = || RefOr::Ref(Ref::from_response_name("Problem"));
    let mut codes = vec!["default"];
    if is_secured(operation) {
        codes.extend(["401", "403", "429"]);
    }
    for code in codes {
        operation
            .responses
            .responses
            .entry(code.to_owned())
            .or_insert_with(problem);
    }
}

/// A request without content may come without a body.
fn allow_empty_body(operation: &mut Operation) {
    let Some(RefOr::T(body)) = &mut operation.request_body else {
        return;
    };
    let nothing = RefOr::Ref(Ref::from_schema_name("Nothing"));
    if body
        .content
        .values()
        .any(|content| matches!(content, RefOr::T(content) if content.schema.as_ref() == Some(&nothing)))
    {
        body.required = Some(Required::False);
    }
}
