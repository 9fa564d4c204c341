;; SipHash-2-4 with a result of 128 bits (Aumasson, Bernstein: "SipHash: a fast short-input PRF"; the variant of the authors' reference code).
;; siphash.ts holds this compiled; its test compiles it again and compares.
(module
  (memory (export "memory") 1)

  (func $round (param $a i64) (param $b i64) (param $c i64) (param $d i64) (result i64 i64 i64 i64)
    (local.set $a (i64.add (local.get $a) (local.get $b)))
    (local.set $c (i64.add (local.get $c) (local.get $d)))
    (local.set $b (i64.xor (i64.rotl (local.get $b) (i64.const 13)) (local.get $a)))
    (local.set $d (i64.xor (i64.rotl (local.get $d) (i64.const 16)) (local.get $c)))
    (local.set $a (i64.rotl (local.get $a) (i64.const 32)))
    (local.set $c (i64.add (local.get $c) (local.get $b)))
    (local.set $a (i64.add (local.get $a) (local.get $d)))
    (local.set $b (i64.xor (i64.rotl (local.get $b) (i64.const 17)) (local.get $c)))
    (local.set $d (i64.xor (i64.rotl (local.get $d) (i64.const 21)) (local.get $a)))
    (local.set $c (i64.rotl (local.get $c) (i64.const 32)))
    (local.get $a) (local.get $b) (local.get $c) (local.get $d))

  ;; Hashes `length` bytes from `at` under the 16 bytes at `key`, and puts the result's 16 bytes to `to`. Up to seven bytes behind the text are read and don't count.
  (func (export "hash") (param $at i32) (param $length i32) (param $key i32) (param $to i32)
    (local $a i64) (local $b i64) (local $c i64) (local $d i64) (local $block i64) (local $end i32) (local $left i64)
    (local.set $a (i64.xor (i64.load (local.get $key)) (i64.const 0x736f6d6570736575)))
    (local.set $b (i64.xor (i64.load offset=8 (local.get $key)) (i64.const 0x646f72616e646f83)))
    (local.set $c (i64.xor (i64.load (local.get $key)) (i64.const 0x6c7967656e657261)))
    (local.set $d (i64.xor (i64.load offset=8 (local.get $key)) (i64.const 0x7465646279746573)))
    (local.set $end (i32.add (local.get $at) (i32.and (local.get $length) (i32.const -8))))
    (local.set $left (i64.extend_i32_u (i32.shl (i32.and (local.get $length) (i32.const 7)) (i32.const 3))))
    (block $done
      (loop $blocks
        (if (i32.lt_u (local.get $at) (local.get $end))
          (then (local.set $block (i64.load (local.get $at))))
          (else
            (local.set $block (i64.or
              (i64.and (i64.load (local.get $at)) (i64.sub (i64.shl (i64.const 1) (local.get $left)) (i64.const 1)))
              (i64.shl (i64.extend_i32_u (local.get $length)) (i64.const 56))))))
        (call $round (call $round (local.get $a) (local.get $b) (local.get $c) (i64.xor (local.get $d) (local.get $block))))
        (local.set $d) (local.set $c) (local.set $b) (local.set $a)
        (local.set $a (i64.xor (local.get $a) (local.get $block)))
        (br_if $done (i32.eq (local.get $at) (local.get $end)))
        (local.set $at (i32.add (local.get $at) (i32.const 8)))
        (br $blocks)))
    (call $round (call $round (call $round (call $round (local.get $a) (local.get $b) (i64.xor (local.get $c) (i64.const 0xee)) (local.get $d)))))
    (local.set $d) (local.set $c) (local.set $b) (local.set $a)
    (i64.store (local.get $to) (i64.xor (i64.xor (local.get $a) (local.get $b)) (i64.xor (local.get $c) (local.get $d))))
    (call $round (call $round (call $round (call $round (local.get $a) (i64.xor (local.get $b) (i64.const 0xdd)) (local.get $c) (local.get $d)))))
    (local.set $d) (local.set $c) (local.set $b) (local.set $a)
    (i64.store offset=8 (local.get $to) (i64.xor (i64.xor (local.get $a) (local.get $b)) (i64.xor (local.get $c) (local.get $d)))))
)
