// The catalogue: what holders are told about flags, rules and facts, in Chinese and in English.
// Promises: every language, flag, rule and kind of fact has its words, or it does not compile; numbers in words come from the pack; a fact is said by kind, day and
// county alone: no source, laboratory, ground, id, free text of a source or other person. One exception: whom to turn to may name the authority of a finding.
// Not here: which words are said of whom (explain.ts).

import {
  countyOf,
  dayOf,
  formatDay,
  formatInstant,
  provinceOf,
  type Clearable,
  type CountyCode,
  type Crossing,
  type Day,
  type DrugClass,
  type Fact,
  type FactKind,
  type Finding,
  type FindingKind,
  type Flag,
  type Instant,
  type Rule,
  type Symptom,
  type TestResult,
} from "../domain/index.ts";
import { spanAt, type PolicyPack, type RuleParameters } from "./pack.ts";

export const LANGUAGES = ["zh", "en"] as const;
export type Language = (typeof LANGUAGES)[number];

/** The same thing said in every language. */
export type Words = Readonly<Record<Language, string>>;

/** Sentences in a row. */
export function sentences(...parts: readonly (Words | false)[]): Words {
  const said = parts.filter((part) => part !== false);
  return { zh: said.map((part) => part.zh).join(""), en: said.map((part) => part.en).join(" ") };
}

const days = (count: number): string => (count === 1 ? "1 day" : `${count} days`);
/** Days of a window: whole ones, behind the day that it counts from. */
const fullDays = (count: number): string => (count === 1 ? "1 full day" : `${count} full days`);
const hours = (count: number): string => (count === 1 ? "1 hour" : `${count} hours`);

// --- Flags ---

export const FLAG_NAMES = {
  "popup-0": { zh: "弹窗（未编号）", en: "Pop-up (without a number)" },
  "popup-1": { zh: "弹窗1", en: "Pop-up 1" },
  "popup-2": { zh: "弹窗2", en: "Pop-up 2" },
  "popup-3": { zh: "弹窗3", en: "Pop-up 3" },
  "popup-4": { zh: "弹窗4", en: "Pop-up 4" },
  "popup-5": { zh: "弹窗5", en: "Pop-up 5" },
  home: { zh: "居家观察（黄码）", en: "Observation at home (yellow)" },
  central: { zh: "集中观察（红码）", en: "Observation at a central place (red)" },
  unconfirmed: { zh: "状态待确认", en: "Status not confirmed" },
  commuter: { zh: "通勤标识", en: "Commuter's mark" },
  commuting: { zh: "通勤人员核酸检测规则", en: "Commuters' rule of tests" },
  prefecture: { zh: "同一地级市有疫情的标记", en: "Mark: infections in the same prefecture" },
} as const satisfies Record<Flag, Words>;

// --- Facts ---

/** What is said of one fact. */
export interface FactSaid {
  readonly day: Day;
  readonly county: CountyCode | null;
  readonly text: Words;
}

const FINDING_WORDS = {
  confirmed: { name: { zh: "确诊病例", en: "confirmed case" }, why: { zh: "有关部门认定您为确诊病例。", en: "An authority found that you are a confirmed case." } },
  suspected: { name: { zh: "疑似病例", en: "suspected case" }, why: { zh: "有关部门认定您为疑似病例。", en: "An authority found that you are a suspected case." } },
  asymptomatic: {
    name: { zh: "无症状感染者", en: "infection without symptoms" },
    why: { zh: "有关部门认定您为无症状感染者。", en: "An authority found that you are infected without symptoms." },
  },
  "close-contact": { name: { zh: "密切接触者", en: "close contact" }, why: { zh: "有关部门认定您为密切接触者。", en: "An authority found that you are a close contact." } },
  "key-place": {
    name: { zh: "到访重点场所", en: "visit to a key place" },
    why: { zh: "社区排查发现您到访过重点场所。", en: "The community's check found that you visited a key place." },
  },
  "risk-link": {
    name: { zh: "涉疫时空关联", en: "link with a risk in time and space" },
    why: { zh: "流调发现您与涉疫地区、场所或人员存在时空关联。", en: "Investigators found a link in time and space between you and a risk area, place or person." },
  },
} as const satisfies Record<FindingKind, { name: Words; why: Words }>;

const DRUG_NAMES = {
  fever: { zh: "退热类", en: "fever" },
  cough: { zh: "止咳类", en: "cough" },
  "anti-infective": { zh: "抗感染类", en: "infections" },
  throat: { zh: "咽喉类", en: "a sore throat" },
} as const satisfies Record<DrugClass, Words>;

const SYMPTOM_NAMES = {
  fever: { zh: "发热", en: "fever" },
  "dry-cough": { zh: "干咳", en: "a dry cough" },
  fatigue: { zh: "乏力", en: "fatigue" },
  "loss-of-smell": { zh: "嗅觉减退", en: "loss of smell" },
  "loss-of-taste": { zh: "味觉减退", en: "loss of taste" },
  "blocked-nose": { zh: "鼻塞", en: "a blocked nose" },
  "runny-nose": { zh: "流涕", en: "a runny nose" },
  "sore-throat": { zh: "咽痛", en: "a sore throat" },
  conjunctivitis: { zh: "结膜炎", en: "conjunctivitis" },
  "muscle-pain": { zh: "肌肉酸痛", en: "muscle pain" },
  diarrhoea: { zh: "腹泻", en: "diarrhoea" },
} as const satisfies Record<Symptom, Words>;

const RESULT_NAMES = {
  negative: { zh: "阴性", en: "negative" },
  positive: { zh: "阳性", en: "positive" },
  inconclusive: { zh: "待复核", en: "inconclusive" },
  invalid: { zh: "无效", en: "invalid" },
} as const satisfies Record<TestResult, Words>;

/** What a clearance ends; the ones that are flags of a number keep it even where the pop-up shows without one. */
const CLEARABLE_NAMES = {
  "popup-1": FLAG_NAMES["popup-1"],
  "popup-3": FLAG_NAMES["popup-3"],
  "popup-5": FLAG_NAMES["popup-5"],
  unconfirmed: FLAG_NAMES.unconfirmed,
} as const satisfies Record<Clearable, Words>;

export const FACT_WORDS: { readonly [Kind in FactKind]: (fact: Extract<Fact, { kind: Kind }>) => FactSaid } = {
  trip({ county, from, to }) {
    const [place, first] = [placeWords(county), dayText(from)];
    const end = to === null ? { zh: "起，暂无离开的记录", en: ", no departure known" } : { zh: `至${dayText(to)}`, en: ` to ${dayText(to)}` };
    return { day: dayOf(from), county, text: { zh: `旅居史：${place.zh}，${first}${end.zh}。`, en: `Stay in ${place.en} from ${first}${end.en}.` } };
  },
  test: ({ sampledAt, result }) =>
    onDay(sampledAt, (day) => ({ zh: `核酸检测：${day}采样，结果${RESULT_NAMES[result].zh}。`, en: `Test: sampled on ${day}, ${RESULT_NAMES[result].en}.` })),
  finding: ({ from, finding }) =>
    onDay(from, (day) => ({ zh: `有关部门的认定：${FINDING_WORDS[finding].name.zh}，${day}起。`, en: `Finding of an authority: ${FINDING_WORDS[finding].name.en}, from ${day}.` })),
  crossing({ at, port }) {
    const place = placeWords(port);
    return { ...onDay(at, (day) => ({ zh: `入境：${day}，口岸位于${place.zh}。`, en: `Entry into the country on ${day}, at a port in ${place.en}.` })), county: port };
  },
  purchase({ at, county, drugClass }) {
    const [place, drug] = [placeWords(county), DRUG_NAMES[drugClass]];
    return { ...onDay(at, (day) => ({ zh: `购药：${day}在${place.zh}购买${drug.zh}药品。`, en: `Purchase of medicine for ${drug.en} on ${day} in ${place.en}.` })), county };
  },
  "clinic-visit": ({ at, symptom }) =>
    onDay(at, (day) => ({ zh: `就诊：${day}因${SYMPTOM_NAMES[symptom].zh}到基层医疗机构就诊。`, en: `Visit to a primary clinic on ${day} with ${SYMPTOM_NAMES[symptom].en}.` })),
  commuting: ({ from }) => onDay(from, (day) => ({ zh: `登记为通勤人员：${day}起。`, en: `Registered as a commuter from ${day}.` })),
  report: ({ at }) => onDay(at, (day) => ({ zh: `向社区报告：${day}。`, en: `Told the community on ${day}.` })),
  declaration: ({ at }) => onDay(at, (day) => ({ zh: `申报来本市的行程：${day}。`, en: `Declared a trip to the city on ${day}.` })),
  obligation: ({ at }) => onDay(at, (day) => ({ zh: `按要求进行核酸检测：${day}起。`, en: `A duty to be tested, from ${day}.` })),
  residence({ county, from }) {
    const place = placeWords(county);
    return { ...onDay(from, (day) => ({ zh: `居住地：${place.zh}，${day}起。`, en: `Home in ${place.en} from ${day}.` })), county };
  },
  vaccination: ({ at, dose }) => onDay(at, (day) => ({ zh: `疫苗接种：${day}，第${dose}剂。`, en: `Vaccination, dose ${dose}, on ${day}.` })),
  clearance: ({ at, clears }) =>
    onDay(at, (day) => ({ zh: `有关部门解除：${CLEARABLE_NAMES[clears].zh}，${day}。`, en: `Cleared by an authority on ${day}: ${CLEARABLE_NAMES[clears].en}.` })),
  refutation: ({ at, county }) => ({ ...onDay(at, (day) => ({ zh: `行程更正：${day}确认有关行程不是您本人的。`, en: `Stays found on ${day} not to be yours.` })), county }),
};

function onDay(at: Instant, words: (day: string) => Words): FactSaid {
  return { day: dayOf(at), county: null, text: words(dayText(at)) };
}

function dayText(at: Instant): string {
  return formatDay(dayOf(at));
}

/** Provinces, by the first two digits of a code; English has no names of counties. */
export const PROVINCE_NAMES: Readonly<Record<number, Words>> = {
  11: { zh: "北京", en: "Beijing" },
  12: { zh: "天津", en: "Tianjin" },
  13: { zh: "河北", en: "Hebei" },
  14: { zh: "山西", en: "Shanxi" },
  15: { zh: "内蒙古", en: "Inner Mongolia" },
  21: { zh: "辽宁", en: "Liaoning" },
  22: { zh: "吉林", en: "Jilin" },
  23: { zh: "黑龙江", en: "Heilongjiang" },
  31: { zh: "上海", en: "Shanghai" },
  32: { zh: "江苏", en: "Jiangsu" },
  33: { zh: "浙江", en: "Zhejiang" },
  34: { zh: "安徽", en: "Anhui" },
  35: { zh: "福建", en: "Fujian" },
  36: { zh: "江西", en: "Jiangxi" },
  37: { zh: "山东", en: "Shandong" },
  41: { zh: "河南", en: "Henan" },
  42: { zh: "湖北", en: "Hubei" },
  43: { zh: "湖南", en: "Hunan" },
  44: { zh: "广东", en: "Guangdong" },
  45: { zh: "广西", en: "Guangxi" },
  46: { zh: "海南", en: "Hainan" },
  50: { zh: "重庆", en: "Chongqing" },
  51: { zh: "四川", en: "Sichuan" },
  52: { zh: "贵州", en: "Guizhou" },
  53: { zh: "云南", en: "Yunnan" },
  54: { zh: "西藏", en: "Tibet" },
  61: { zh: "陕西", en: "Shaanxi" },
  62: { zh: "甘肃", en: "Gansu" },
  63: { zh: "青海", en: "Qinghai" },
  64: { zh: "宁夏", en: "Ningxia" },
  65: { zh: "新疆", en: "Xinjiang" },
};

/** A county's full name, in Chinese; null: no list has the code. */
export function countyName(code: CountyCode): string | null {
  const county = countyOf(code);
  if (!county) return null;
  // "市辖区" and the like stand in the list where there is no prefecture to name.
  const prefecture = /^(市辖区|县)$|直辖县级行政区划$/.test(county.prefecture) ? "" : county.prefecture;
  return `${county.province}${prefecture}${county.name}`;
}

function placeWords(code: CountyCode): Words {
  const name = countyName(code);
  const province = PROVINCE_NAMES[provinceOf(code)];
  return { zh: name === null ? `代码为${code}的县（市、区）` : `${name}（${code}）`, en: province ? `county ${code} (${province.en})` : `county ${code}` };
}

// --- Rules ---

/** What the words of a rule are made from. */
export interface RuleSaid<Name extends Rule> {
  readonly pack: PolicyPack;
  readonly policyFrom: Instant;
  /** Of the rule, as it stood from `policyFrom`. */
  readonly parameters: RuleParameters<Name>;
  readonly facts: readonly Fact[];
}

/** Words that hold whether a flag is still to come, active or past. */
export interface RuleWords<Name extends Rule> {
  why(said: RuleSaid<Name>): Words;
  /** What ends it, and what does not. */
  clears(said: RuleSaid<Name>): Words;
  turnTo(said: RuleSaid<Name>): Words;
}

const NO_TEST: Words = { zh: "核酸阴性结果不能解除。", en: "A negative test does not clear it." };
const NO_TIME: Words = { zh: "不会随时间自动解除。", en: "Time alone does not clear it." };
const COMMUNITY: Words = { zh: "请联系您居住地的社区。", en: "Please turn to the community where you live." };
const LABORATORY: Words = {
  zh: "如已检测而结果没有显示，请联系为您检测的机构核对；其他问题请联系社区。",
  en: "If you were tested and the result is missing, ask the laboratory that tested you; for anything else, the community.",
};
/** POLICY §2.4: said by every rule that rests on trips. */
const KEPT_NUMBER: Words = {
  zh: "行程可能由手机号比对得出。如果您没有到过该地（例如仍在使用以前居住地的手机号），请告知社区或提供行程的单位；核实更正后，该行程不再影响您。",
  en: "Stays may be found by phone number. If you were not there (perhaps you kept a number from a place where you once lived), tell the community or whoever provided the stay: once it is refuted, it no longer counts against you.",
};

export const RULE_WORDS: { readonly [Name in Rule]: RuleWords<Name> } = {
  unregistered: {
    why: () => ({ zh: "尚无机构登记您的证件，因此暂时无法确认您的状态。", en: "Nobody has told us of your document yet, so your status cannot be confirmed." }),
    clears: () => sentences({ zh: "证件登记后即解除。", en: "It ends once your document is registered." }, NO_TIME, NO_TEST),
    turnTo: () => ({ zh: "请联系您居住地的社区登记证件。", en: "Please ask the community where you live to register your document." }),
  },

  findings: {
    why(said) {
      const finding = factOf(said, "finding");
      return sentences(FINDING_WORDS[finding.finding].why, finding.finding === "risk-link" && isolationOfLink(finding, said.pack));
    },
    clears(said) {
      const finding = factOf(said, "finding");
      if (finding.finding === "risk-link") return clearsLink(finding, said.pack);
      return sentences(
        finding.until === null
          ? { zh: "由作出认定的部门解除，目前没有预定的结束时间。", en: "The authority that found it ends it; no end is set yet." }
          : { zh: "认定的期限届满时自动结束，作出认定的部门也可以提前解除。", en: "It ends by itself with the term that was set; the authority that found it can end it earlier." },
        NO_TEST,
      );
    },
    turnTo(said) {
      const { finding, authority } = factOf(said, "finding");
      if (finding === "risk-link") {
        return authority.trim() === ""
          ? { zh: "请联系您居住地的社区进行核查。", en: "Please ask the community where you live for its check." }
          : { zh: `请联系您居住地的社区进行核查；作出认定的部门是${authority}。`, en: `Please ask the community where you live for its check; the authority that found the link is ${authority}.` };
      }
      if (authority.trim() === "") return { zh: "请联系您居住地的社区，由社区联系作出认定的部门。", en: "Please turn to the community where you live: it can reach the authority that found it." };
      return { zh: `请联系作出认定的部门（${authority}），社区也可以协助您。`, en: `Please turn to the authority that found it (${authority}); the community can help you.` };
    },
  },

  unsettledPositive: {
    why: () => ({
      zh: "您有一次核酸检测结果为阳性，有关部门尚未对此作出认定，因此暂时无法确认您的状态。",
      en: "One of your tests was positive and no authority has said yet what it means, so your status cannot be confirmed for now.",
    }),
    clears(said) {
      const isNamed = factOf(said, "test").laboratory !== "";
      const hasArbiters = said.parameters.arbiters.length > 0;
      const judges: Words | false =
        isNamed && hasArbiters
          ? { zh: "同一检测机构或规则指定的检测机构此后出具阴性结果", en: "a later negative of the same laboratory or of one that the rule names" }
          : isNamed
            ? { zh: "同一检测机构此后出具阴性结果", en: "a later negative of the same laboratory" }
            : hasArbiters && { zh: "规则指定的检测机构此后出具阴性结果", en: "a later negative of a laboratory that the rule names" };
      return sentences(
        {
          zh: `以下任一情况出现即解除：有关部门作出确诊、疑似或无症状感染的认定（此后按认定处理）；${judges ? `${judges.zh}；` : ""}有关部门予以解除。`,
          en: `Any of these clears it: an authority's finding of an infection, confirmed, suspected or without symptoms (which holds from then on); ${judges ? `${judges.en}; ` : ""}a clearance by an authority.`,
        },
        judges ? { zh: "其他检测机构的阴性结果不能解除。", en: "A negative of any other laboratory does not." } : NO_TEST,
        NO_TIME,
      );
    },
    turnTo: () => ({
      zh: "请联系为您检测的机构复核；社区可以协助您联系有关部门。",
      en: "Please ask the laboratory that tested you to check the result; the community can reach the authority for you.",
    }),
  },

  stillInRiskCounty: {
    why: () => ({ zh: "您停留的县（市、区）在您停留期间有中高风险地区。", en: "You were in a county while it held a medium- or high-risk area." }),
    clears: ({ parameters: { windowDays } }) =>
      sentences(
        {
          zh: `公布该县（市、区）全域转为低风险时解除；或者离开后满${windowDays}天自动解除。`,
          en: `It ends when a published list no longer holds a risk area of that county, or by itself ${fullDays(windowDays)} after the day on which you left it.`,
        },
        NO_TEST,
      ),
    turnTo: () => sentences(COMMUNITY, KEPT_NUMBER),
  },

  affectedCounty: {
    why: ({ parameters: { windowDays, heldAreas } }) => ({
      zh: `您${windowDays}天内有涉疫县（市、区）旅居史：该地${windowDays}天内有新增本土感染者${heldAreas ? "，或有中高风险地区" : ""}。`,
      en: `In the last ${days(windowDays)} you stayed in a county that had a new local infection within ${days(windowDays)}${heldAreas ? ", or that holds a medium- or high-risk area" : ""}.`,
    }),
    clears: ({ parameters: { windowDays, heldAreas } }) =>
      sentences(
        {
          zh: `离开该县（市、区）满${windowDays}天后自动解除。该地连续${windowDays}天无新增本土感染者${heldAreas ? "且无中高风险地区" : ""}，或公布其全域转为低风险时，也会提前解除。`,
          en: `It ends by itself ${fullDays(windowDays)} after the day on which you left the county; earlier if the county has ${days(windowDays)} without a new local infection${heldAreas ? " and holds no risk area" : ""}, or when it is published that its last risk area is lifted.`,
        },
        { zh: "有关部门核实后也可以解除。", en: "An authority can clear it too." },
        NO_TEST,
      ),
    turnTo: () => sentences(COMMUNITY, KEPT_NUMBER),
  },

  arrivalTest: {
    why: ({ parameters: { withinHours } }) => ({
      zh: `您从外地抵达本市，须在抵达后${withinHours}小时内完成核酸检测。到期仍未查到抵达后采样的阴性结果时，显示弹窗。`,
      en: `You came to the city from elsewhere: a test is due within ${hours(withinHours)} of arrival. The pop-up shows from then on while no negative result sampled since you arrived is known.`,
    }),
    clears: () =>
      sentences(
        { zh: "抵达后采样的核酸检测出具阴性结果并送达后立即解除，在哪里检测都可以。", en: "A negative result sampled since you arrived clears it at once when it reaches us, wherever the sample was taken." },
        { zh: "抵达前采样的结果不能解除。", en: "A sample taken before you arrived does not." },
        NO_TIME,
      ),
    turnTo: () => sentences(LABORATORY, KEPT_NUMBER),
  },

  isolation: {
    why(said) {
      const crossing = factOf(said, "crossing");
      const count = isolationDays(said.parameters, crossing, said.pack);
      const isOther = count !== isolationDays(said.parameters, { ...crossing, homeSuitable: true }, said.pack);
      return sentences(
        { zh: `您从境外入境，按入境当日的规定，入境后须隔离观察${count}天。`, en: `You entered the country: by the rules of that day, isolation lasts ${fullDays(count)} after the day of entry.` },
        isOther && { zh: "天数按住所不具备居家隔离条件计算。", en: "The number of days is that for whose home does not allow isolation there." },
      );
    },
    clears(said) {
      const crossing = factOf(said, "crossing");
      const { exemptOrigins, exemptTestWithinHours } = said.parameters;
      return sentences(
        { zh: "隔离期最后一天结束后（次日0时）自动解除。", en: "It ends by itself at 00:00 after the last day of isolation." },
        exemptOrigins.includes(crossing.origin)
          ? {
              zh: `入境前${exemptTestWithinHours}小时内出具的阴性结果可以免除隔离，可以补交；此后的核酸阴性结果不能解除。`,
              en: `A negative result issued in the ${hours(exemptTestWithinHours)} before entry exempts you and can still be delivered; a later one does not clear it.`,
            }
          : NO_TEST,
      );
    },
    turnTo: () => ({
      zh: "请联系您隔离的场所或居住地的社区；入境记录有误的，请联系社区更正。",
      en: "Please turn to the place where you are isolated or the community where you live; the community can also have a wrong record of entry put right.",
    }),
  },

  purchaseTest: {
    why(said) {
      const { withinHours } = said.parameters;
      const isEarlier = factOf(said, "purchase").at < said.policyFrom;
      const [zh, en] = isEarlier
        ? [`本规则实施（${formatInstant(said.policyFrom)}）后${withinHours}小时内`, `within ${hours(withinHours)} of the beginning of this rule (${formatInstant(said.policyFrom)})`]
        : [`购药后${withinHours}小时内`, `within ${hours(withinHours)} of the purchase`];
      return {
        zh: `您在本市药店购买了需要登记的药品，须在${zh}完成核酸检测。到期仍未查到购药后采样的阴性结果时，显示弹窗。`,
        en: `You bought a medicine of a listed class at a pharmacy in the city: a test is due ${en}. The pop-up shows from then on while no negative result sampled since the purchase is known.`,
      };
    },
    clears: () =>
      sentences(
        { zh: "购药后采样的核酸检测出具阴性结果并送达后立即解除。", en: "A negative result sampled since the purchase clears it at once when it reaches us." },
        { zh: "购药前采样的结果不能解除。", en: "A sample taken before it does not." },
        NO_TIME,
      ),
    turnTo: () => LABORATORY,
  },

  clinicTest: {
    why: ({ parameters: { withinHours } }) => ({
      zh: `您因相关症状到基层医疗机构就诊，须在就诊后${withinHours}小时内完成核酸检测。到期仍未查到就诊后采样的阴性结果时，显示弹窗。`,
      en: `You went to a primary clinic with a listed symptom: a test is due within ${hours(withinHours)} of the visit. The pop-up shows from then on while no negative result sampled since the visit is known.`,
    }),
    clears: () =>
      sentences(
        { zh: "就诊后采样的核酸检测出具阴性结果并送达后立即解除。", en: "A negative result sampled since the visit clears it at once when it reaches us." },
        { zh: "就诊前采样的结果不能解除。", en: "A sample taken before it does not." },
        NO_TIME,
      ),
    turnTo: () => LABORATORY,
  },

  portCounty: {
    why: ({ parameters: { windowDays } }) => ({
      zh: `您${windowDays}天内有陆路边境口岸所在县（市、区）旅居史。`,
      en: `In the last ${days(windowDays)} you stayed in a county with a land-border port.`,
    }),
    clears: ({ parameters: { windowDays } }) =>
      sentences(
        {
          zh: `离开该县（市、区）满${windowDays}天后自动解除。您已在本市的，离开该地后向社区报告即解除；有关部门核实后也可以解除。`,
          en: `It ends by itself ${fullDays(windowDays)} after the day on which you left the county. If you are in the city, it ends once you have told the community after leaving the county; an authority can clear it too.`,
        },
        NO_TEST,
      ),
    turnTo: () => sentences({ zh: "请向您在本市居住地的社区报告。", en: "Please tell the community where you live in the city." }, KEPT_NUMBER),
  },

  commuterMark: {
    why: () => ({
      zh: "您已登记为通勤人员，并有登记期间出具的核酸阴性结果。这不是限制。",
      en: "You are registered as a commuter and have a negative test that was issued while you were. It does not restrict you.",
    }),
    clears: ({ parameters: { days: count } }) => ({
      zh: `阴性结果出具满${count}天（每天按24小时计）或登记终止时自动结束；新的阴性结果会重新计算期限。`,
      en: `It ends by itself ${days(count)} of 24 hours after the result was issued, or with your registration; a newer negative result renews it.`,
    }),
    turnTo: () => sentences({ zh: "登记事项请联系为您登记的社区或单位。", en: "About the registration, turn to the community or employer that registered you." }, LABORATORY),
  },

  obligationTest: {
    why(said) {
      const { everyDays } = factOf(said, "obligation");
      const { withinHours } = said.parameters;
      return everyDays === null
        ? {
            zh: `您须在要求开始后${withinHours}小时内完成一次核酸检测。到期仍未查到要求开始后采样的阴性结果时，显示弹窗。`,
            en: `You have a duty to be tested within ${hours(withinHours)} of its beginning. The pop-up shows from then on while no negative result sampled since the beginning is known.`,
          }
        : {
            zh: `您须每${everyDays}天完成一次核酸检测。最近一次采样（没有的，从要求开始）满${everyDays}天仍未查到新的阴性结果时，显示弹窗。`,
            en: `You have a duty to be tested every ${days(everyDays)}. The pop-up shows when the newest sample (or, without one, the beginning of the duty) is ${days(everyDays)} old and no newer negative result is known.`,
          };
    },
    clears(said) {
      const { everyDays, until } = factOf(said, "obligation");
      return sentences(
        { zh: "要求开始后采样的核酸检测出具阴性结果并送达后立即解除。", en: "A negative result sampled since the duty began clears it at once when it reaches us." },
        everyDays !== null && { zh: `采样已满${everyDays}天的结果不能解除。`, en: `One whose sample is already ${days(everyDays)} old does not.` },
        until === null ? NO_TIME : { zh: "该要求到期终止时也会自动解除。", en: "The end of the duty ends it too." },
      );
    },
    turnTo: () => sentences({ zh: "对该要求有疑问的，请联系您的单位或社区。", en: "About the duty, turn to your employer or the community." }, LABORATORY),
  },

  screeningTest: {
    why: () => ({
      zh: "您居住的县（市、区）开展了多轮区域核酸筛查，未查到您在其中任何一轮采样的阴性结果。",
      en: "The county where you live was screened in rounds, and no negative result of yours that was sampled in any of them is known.",
    }),
    clears: () =>
      sentences(
        { zh: "首轮筛查开始后采样的核酸检测出具阴性结果并送达后立即解除。", en: "A negative result sampled since the first round began clears it at once when it reaches us." },
        { zh: "首轮筛查开始前采样的结果不能解除。", en: "A sample taken before that does not." },
        NO_TIME,
      ),
    turnTo: () => sentences(LABORATORY, { zh: "居住地登记有误的，请联系社区更正。", en: "If you do not live there, ask the community to correct it." }),
  },

  unverifiedComer: {
    why: ({ parameters }) => sentences({ zh: "您申报来本市，但暂时无法核验您的行程。", en: "You declared a trip to the city and could not be verified yet." }, whoIsVerified(parameters)),
    clears: ({ parameters: { windowDays } }) =>
      sentences(
        {
          zh: `以下任一情况出现即解除：再次申报并通过核验；向社区报告；有关部门予以解除。否则申报后满${windowDays}天自动解除。`,
          en: `Any of these clears it: a later declaration that can be verified; telling the community; a clearance by an authority. Otherwise it ends by itself ${fullDays(windowDays)} after the day of the declaration.`,
        },
        NO_TEST,
      ),
    turnTo: ({ parameters: { provinces, lowRisk } }) =>
      sentences({ zh: "请向您将居住地的社区报告。", en: "Please tell the community where you are going to stay." }, (provinces.length > 0 || lowRisk) && KEPT_NUMBER),
  },

  unverifiedMovement: {
    why(said) {
      // The rule names the stay that the movement led to first.
      const isMovingIn = provinceOf(factOf(said, "trip").county) === said.pack.city;
      return isMovingIn
        ? { zh: "查到您进入本市的行程，尚未核验。", en: "A movement of yours into the city was found and has not been verified yet." }
        : { zh: "查到您离开本市的行程，尚未核验。", en: "A movement of yours out of the city was found and has not been verified yet." };
    },
    clears: ({ parameters: { windowDays } }) =>
      sentences(
        {
          zh: `申报该行程、向社区报告或有关部门予以解除后即解除；否则行程后满${windowDays}天自动解除。`,
          en: `Declaring the trip, telling the community or a clearance by an authority clears it; otherwise it ends by itself ${fullDays(windowDays)} after the day of the movement.`,
        },
        NO_TEST,
      ),
    turnTo: () => sentences(COMMUNITY, KEPT_NUMBER),
  },

  leftRiskCounty: {
    why: ({ parameters: { windowDays } }) => ({
      zh: `您${windowDays}天内到过的县（市、区）有中高风险地区，您已离开该地，尚未返回本市。`,
      en: `In the last ${days(windowDays)} you left a county that holds a medium- or high-risk area, and you are not back in the city yet.`,
    }),
    clears: ({ parameters: { windowDays } }) =>
      sentences(
        {
          zh: `离开该地满${windowDays}天后自动解除；公布该地全域转为低风险或查到您已返回本市时，提前解除。`,
          en: `It ends by itself ${fullDays(windowDays)} after the day on which you left the county; earlier when a published list no longer holds a risk area of it, or when a stay of yours in the city is known.`,
        },
        NO_TEST,
      ),
    turnTo: () => sentences(COMMUNITY, KEPT_NUMBER),
  },

  samePrefectureTest: {
    why: ({ parameters: { windowDays, testWithinHours } }) => ({
      zh: `您申报来本市；${windowDays}天内您到过的县（市、区）本身不涉疫，但同一地级市内有涉疫县（市、区）。须有申报前${testWithinHours}小时内出具的核酸阴性结果，未能查到。`,
      en: `You declared a trip to the city. In the last ${days(windowDays)} you stayed in a county that is not affected itself, but lies in one prefecture with an affected one: a negative test issued in the ${hours(testWithinHours)} before the declaration is asked for, and none was found.`,
    }),
    clears: () =>
      sentences({ zh: "申报后出具的核酸阴性结果送达后立即解除。", en: "A negative result issued since the declaration clears it at once when it reaches us." }, NO_TIME),
    turnTo: () => sentences(LABORATORY, KEPT_NUMBER),
  },

  prefectureMark: {
    why: ({ parameters: { windowDays } }) => ({
      zh: `您${windowDays}天内到过的县（市、区）所在地级市内，有其他县（市、区）${windowDays}天内新增本土感染者。这一标记本身不限制您，但进入本市时可能要求核酸阴性结果。`,
      en: `In the last ${days(windowDays)} you stayed in a county beside one that had a new local infection within ${days(windowDays)}, in the same prefecture. The mark itself does not stop you, but a negative test may be asked for when you come to the city.`,
    }),
    clears: ({ parameters: { windowDays } }) =>
      sentences(
        {
          zh: `离开该县（市、区）满${windowDays}天，或该地级市其他县（市、区）连续${windowDays}天无新增本土感染者、公布其全域转为低风险时，自动结束。`,
          en: `It ends by itself ${fullDays(windowDays)} after the day on which you left the county, or when the other counties of the prefecture have ${days(windowDays)} without a new local infection or are published to hold no risk area any more.`,
        },
        { zh: "核酸阴性结果不能消除标记。", en: "A negative test does not remove the mark." },
      ),
    turnTo: () => sentences(COMMUNITY, KEPT_NUMBER),
  },
};

function factOf<Kind extends FactKind>({ facts }: RuleSaid<Rule>, kind: Kind): Extract<Fact, { kind: Kind }> {
  const found = facts.find((fact): fact is Extract<Fact, { kind: Kind }> => fact.kind === kind);
  if (!found) throw new Error(`a reason of this rule must rest on a fact of the kind ${kind}: give the facts of the verdict unchanged`);
  return found;
}

/** The tests that a link asks for before a clearance counts; none where its level is isolated instead. */
function testDaysOf(link: Finding, pack: PolicyPack): readonly number[] {
  const check = spanAt(pack.spans.linkCheck, link.from)?.parameters;
  return !check || isIsolated(link, pack) ? [] : check.testDays;
}

function isIsolated({ from, level }: Finding, pack: PolicyPack): boolean {
  return spanAt(pack.spans.linkCheck, from)?.parameters.untestedLevels.includes(level ?? "") ?? false;
}

/** A level's word is the source's own: two are known, any other is said without it. */
function isolationOfLink(link: Finding, pack: PolicyPack): Words | false {
  if (!isIsolated(link, pack)) return false;
  if (link.level === "high") return { zh: "关联等级为高，须集中隔离观察。", en: "The link is of a high level: isolation at a central place goes with it." };
  if (link.level === "medium") return { zh: "关联等级为中，须居家隔离观察。", en: "The link is of a medium level: isolation at home goes with it." };
  return { zh: "这一关联等级须隔离观察。", en: "Isolation goes with a link of this level." };
}

function clearsLink(link: Finding, pack: PolicyPack): Words {
  const days = spanAt(pack.spans.linkCheck, link.from)?.parameters.elsewhereDays;
  const dates = testDaysOf(link, pack).map((dayAfter) => formatDay(dayOf(link.from) + dayAfter));
  return sentences(
    dates.length === 0
      ? { zh: "社区核查后，由有关部门解除。", en: "The community checks it, and an authority clears it." }
      : {
          zh: `在本市的，须同时满足两项：社区核查后由有关部门解除；以下各日采样的核酸检测均为阴性：${dates.join("、")}。两项都具备时解除。`,
          en: `For those in the city two things clear it together: a clearance by an authority after the community's check, and negative tests sampled on each of these days: ${dates.join(", ")}.`,
        },
    days !== undefined && {
      zh: `在外地的，由有关部门排除关联，且距关联之日和最后一次风险地区旅居均满 ${days} 天后解除，不需要检测。`,
      en: `For those elsewhere it ends once an authority has ruled the link out and ${days} full days have passed since it and since a stay in a county with a risk area; no test is asked.`,
    },
    link.until !== null && { zh: "认定的期限届满时也会自动解除。", en: "It also ends by itself with the term that was set." },
    { zh: "仅有核酸阴性结果不能解除。", en: "A negative test alone does not clear it." },
  );
}

function isAtCity({ port }: Crossing, pack: PolicyPack): boolean {
  return provinceOf(port) === pack.city;
}

function isolationDays({ originDays, cityDays, cityDaysWithoutHome, elsewhereDays }: RuleParameters<"isolation">, crossing: Crossing, pack: PolicyPack): number {
  const usual = isAtCity(crossing, pack) ? (crossing.homeSuitable ? cityDays : cityDaysWithoutHome) : elsewhereDays;
  return originDays[crossing.origin] ?? usual;
}

function whoIsVerified({ windowDays, provinces, lowRisk }: RuleParameters<"unverifiedComer">): Words {
  if (provinces.length === 0 && !lowRisk) return { zh: "按此规则，只有登记的通勤人员可以通过核验。", en: "By this rule only registered commuters can be." };
  const names = (language: Language, comma: string): string => provinces.map((code) => PROVINCE_NAMES[code]?.[language] ?? String(code)).join(comma);
  const zh = [provinces.length > 0 && `仅在${names("zh", "、")}停留`, lowRisk && "未到过有中高风险地区的外地县（市、区）"].filter((part) => part !== false);
  const en = [provinces.length > 0 && `only in ${names("en", ", ")}`, lowRisk && "in no county outside the city that holds a risk area"].filter((part) => part !== false);
  return {
    zh: `按此规则，登记的通勤人员，以及有行程记录且${windowDays}天内${zh.join("或")}的人员可以通过核验。`,
    en: `By this rule registered commuters can be, and whoever is known to have been, in the last ${days(windowDays)}, ${en.join(", or ")}.`,
  };
}

// --- What is said around the flags ---

export const NOTES = {
  asKnownAt: {
    zh: "以下内容依据当时已知的信息；此后收到或更正的信息不在其中。",
    en: "This is what was known then; what was told or corrected since is not in it.",
  },
  restsOnHistory: {
    zh: "例外：以下部分内容来自补录的历史资料，自其发布或记录之时起即视为已知，并非自收到之时。",
    en: "One exception: some of it was brought in later as history, which counts as known since it was published or recorded, not since it arrived.",
  },
  noPolicy: { zh: "所查询的时间没有任何规则生效，因此不能给出状态。", en: "No rule was in force at the instant asked about, so there is no status for it." },
  unregistered: { zh: "尚无机构登记您的证件。", en: "Nobody has told us of your document yet." },
  nothing: { zh: "所查询的时间没有任何对您的限制。", en: "At the instant asked about nothing stands against you." },
} as const satisfies Record<string, Words>;

/** Said of a rule for which the pack lacks data. */
export function incompleteWords(rule: Rule): Words {
  return { zh: `规则 ${rule} 所需的资料尚不完整，没有显示不代表不适用。`, en: `The rule ${rule} lacks data: that it shows nothing does not mean that it does not apply.` };
}

/** Said of a flag that another one takes over from. */
export function goesOnAs(flag: Flag): Words {
  const name = FLAG_NAMES[flag];
  return { zh: `结束后将以“${name.zh}”继续显示。`, en: `It then goes on as “${name.en}”.` };
}

/** Words of the layout for a terminal. */
export const LAYOUT = {
  asked: { zh: "查询时间：", en: "Asked about: " },
  active: { zh: "生效中", en: "active" },
  coming: { zh: "将生效", en: "still to come" },
  past: { zh: "已结束", en: "past" },
  since: { zh: "开始：", en: "From: " },
  ends: { zh: "自动结束：", en: "Ends by itself: " },
  endsNever: { zh: "否", en: "no" },
  ended: { zh: "结束：", en: "Ended: " },
  endedWithRules: { zh: "随规则终止", en: "with the rules" },
  why: { zh: "原因：", en: "Why: " },
  clears: { zh: "如何解除：", en: "What clears it: " },
  endsMark: { zh: "如何结束：", en: "What ends it: " },
  turnTo: { zh: "联系谁：", en: "Whom to turn to: " },
  rule: { zh: "规则：", en: "Rule: " },
  inForceFrom: { zh: "施行于 ", en: "in force from " },
  fact: { zh: "依据：", en: "Fact: " },
  newestNegative: { zh: "最近一次核酸阴性结果：", en: "Newest negative test: " },
  comma: { zh: "，", en: ", " },
  sampled: { zh: "采样 ", en: "sampled " },
  issued: { zh: "出具 ", en: "issued " },
  shownTest: { zh: "显示的检测天数起算日：", en: "The age of the shown test counts from: " },
} as const satisfies Record<string, Words>;
