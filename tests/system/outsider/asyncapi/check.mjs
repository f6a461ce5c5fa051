// Parses the document named by the first argument; prints its diagnostics and what it found, as one line of JSON.
import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";

const { document, diagnostics } = await new Parser().parse(readFileSync(process.argv[2], "utf8"));
console.log(
  JSON.stringify({
    faults: diagnostics.filter((each) => each.severity < 2).map((each) => `${each.path.join(".")}: ${each.message}`),
    channels: document?.channels().all().map((each) => each.address()) ?? [],
    operations: document?.operations().all().map((each) => each.id()) ?? [],
  }),
);
