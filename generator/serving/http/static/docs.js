"use strict";
// The OpenAPI document, readable: an operation a fold, its parameters, body and answers.

function make(tag, text, ...children) {
  const element = document.createElement(tag);
  if (text) element.textContent = text;
  element.append(...children);
  return element;
}

function table(rows) {
  return make("table", "", make("tbody", "", ...rows.map((cells) => make("tr", "", ...cells.map((cell) => make("td", cell))))));
}

function schema(document_, content) {
  let found = content?.["application/json"]?.schema;
  if (found?.$ref) found = document_.components.schemas[found.$ref.split("/").pop()];
  return found ? make("pre", JSON.stringify(found, null, 1)) : "";
}

async function main() {
  const api = await (await fetch("/openapi.json")).json();
  const folds = [];
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const [method, one] of Object.entries(methods)) {
      const fold = make("details", "", make("summary", "", make("code", `${method.toUpperCase()} ${path}`), ` ${one.summary}`));
      if (one.parameters.length) {
        fold.append(make("h2", "Parameters"), table(one.parameters.map((each) => [each.name, each.in, each.description || "", JSON.stringify(each.schema)])));
      }
      if (one.requestBody) fold.append(make("h2", "Body"), schema(api, one.requestBody.content));
      fold.append(make("h2", "Answers"), table(Object.entries(one.responses).map(([code, each]) => [code, each.description])));
      for (const each of Object.values(one.responses).slice(0, 1)) fold.append(schema(api, each.content));
      folds.push(fold);
    }
  }
  document.getElementById("operations").replaceChildren(...folds);
  document.getElementById("operations").style.display = "block";
}

main().catch((error) => { document.getElementById("status").textContent = error.message; });
