// What is wrong with a text as YAML, in our own words, by the kind of fault that the reader of YAML finds.

import type { ErrorCode } from "yaml";

export const YAML_FAULTS = {
  ALIAS_PROPS: "an alias (*name) takes neither a tag nor an anchor: remove them",
  BAD_ALIAS: "an anchor (&name) or alias (*name) has no usable name: give it one of letters and digits",
  BAD_COLLECTION_TYPE: "a tag (!name) stands before a value of another kind: remove it",
  BAD_DIRECTIVE: "a line that begins with % says something unknown: remove it",
  BAD_DQ_ESCAPE: 'a text in double quotes holds a \\ with an unknown letter behind it: write \\\\ or use single quotes',
  BAD_INDENT: "the line is indented otherwise than its neighbours, or a bracket before it is not closed: align it with what it belongs to",
  BAD_PROP_ORDER: "an anchor or a tag stands before the sign that it belongs behind: move it",
  BAD_SCALAR_START: "a text begins with a sign that means something in YAML: put it in quotes",
  BLOCK_AS_IMPLICIT_KEY: "a list or a second name stands where one name and one value must: begin a new line, or put the text in quotes",
  BLOCK_IN_FLOW: "what stands in brackets goes on as indented lines: write all of it in brackets or none",
  DUPLICATE_KEY: "a field stands twice: remove one",
  IMPOSSIBLE: "the text can't be read here: write the lines around it anew",
  KEY_OVER_1024_CHARS: "a name is longer than 1024 characters: is a colon or a quote missing?",
  MISSING_CHAR: "a sign is missing here: a colon, a comma, a quote, a closing bracket, or the blank before a comment",
  MULTILINE_IMPLICIT_KEY: "a name goes on over several lines: is a colon or a closing bracket missing?",
  MULTIPLE_ANCHORS: "a value has two anchors: remove one",
  MULTIPLE_DOCS: "the file holds several documents (---): a pack is one, give each a file of its own",
  MULTIPLE_TAGS: "a value has two tags: remove one",
  NON_STRING_KEY: "a name is no text: put it in quotes",
  RESOURCE_EXHAUSTION: "the text is nested too deeply: write it flatter",
  TAB_AS_INDENT: "a tab stands where blanks must: indent with blanks",
  TAG_RESOLVE_FAILED: "a tag (!name) is unknown here: remove it",
  UNEXPECTED_TOKEN: "there is a sign that does not belong here: is a quote missing, or a bracket or comma too many?",
} as const satisfies Record<ErrorCode, string>;
