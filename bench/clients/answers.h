// What the loader knows of the answers: for each drawn question the kind of its record, for each kind the pop-ups (u8, a bit each) and the age of the test
// (u16 at byte 2, 0xffff: none).

#define QUESTION_BYTES 32
#define NUMBER_AT 6
#define NUMBER_BYTES 18
#define KIND_BYTES 4

typedef struct {
  mapped questions, kinds, known;
  size_t drawn;
} world;

static world open_world(const char *questions, const char *kinds, const char *known) {
  world w = {map_file(questions), map_file(kinds), map_file(known), 0};
  w.drawn = w.questions.length / QUESTION_BYTES;
  return w;
}

static inline int is_right(const world *w, size_t question, unsigned popups, unsigned age) {
  const uint8_t *known = w->known.bytes + w->kinds.bytes[question] * KIND_BYTES;
  return known[0] == popups && (known[2] | known[3] << 8) == (int)age;
}
