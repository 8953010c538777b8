"""Fills templates with generated personal data (Faker, several locales), to make the rare types common.

A template is a line with {slot}s (pii_templates.txt, our own, CC0) or {{slot}}s (presidio-research, MIT).
`fill` returns the text and its spans in characters. Slots that are not personal data (amounts, versions, order
numbers) carry no label: they are the look-alikes a detector must leave alone.
"""
import random
import re
import string

from faker import Faker

LOCALES = ["en_US", "en_US", "en_GB", "en_CA", "en_AU", "en_IN", "de_DE", "fr_FR", "es_ES", "it_IT", "nl_NL", "pl_PL",
           "sv_SE", "pt_BR", "en_NG", "en_IE"]
LABEL = {"card": "CREDIT_CARD", "iban": "IBAN_CODE", "ip": "IP_ADDRESS", "dl": "US_DRIVER_LICENSE", "ssn": "US_SSN",
         "person": "PERSON", "first": "PERSON", "last": "PERSON", "email": "EMAIL_ADDRESS", "phone": "PHONE_NUMBER",
         "address": "STREET_ADDRESS", "street": "STREET_ADDRESS", "city": "GPE", "state": "GPE", "country": "GPE",
         "zip": "ZIP_CODE", "postcode": "ZIP_CODE", "age": "AGE", "nrp": "NRP", "org": "ORGANIZATION", "job": "TITLE",
         "title": "TITLE", "date": "DATE_TIME", "dob": "DATE_TIME", "year": "DATE_TIME", "domain": "DOMAIN_NAME",
         "url": "DOMAIN_NAME"}
NRP = ("American British Irish French German Italian Spanish Polish Dutch Swedish Norwegian Danish Finnish Greek "
       "Turkish Russian Ukrainian Indian Pakistani Chinese Japanese Korean Vietnamese Thai Indonesian Filipino Mexican "
       "Brazilian Argentinian Chilean Colombian Peruvian Cuban Canadian Australian Nigerian Ghanaian Kenyan Ethiopian "
       "Moroccan Egyptian Israeli Lebanese Syrian Iraqi Iranian Afghan Portuguese Romanian Hungarian Czech Austrian "
       "Swiss Belgian Catholic Protestant Jewish Muslim Hindu Buddhist Sikh Mormon Baptist Methodist Republican "
       "Democrat Conservative Socialist Libertarian Kurdish Basque Catalan Cherokee Navajo Maori").split()
COINED = ("ba ven tro lin zen ax ion pix cor dex mar sol tek gra fin lum nor vi quan ter hel ori mo sta ver syn ka re del "
          "pho ny ex cel al ti max um bra co do").split()
PLAIN = ("Blue Harbor Chemical Abstracts Northern Light Summit Civic Media Open Data Green Valley Silver Lake Public Health "
         "River Global Marine First Union Golden Gate Pacific Energy Central Transit Liberty Food Bright Future National "
         "Weather Star Crown Castle Iron Bridge Cedar Point Legal Medical Royal Mutual Urban Sports Youth Farm").split()
KINDS = ("Inc. Inc Corp. Corporation LLC Ltd. Ltd GmbH Group Partners Systems Labs Technologies Analytics Solutions Services "
         "Service Foundation Bank Airlines Hospital Institute Council Agency Club United Press Records Association").split()
TITLES = ["Mr.", "Mrs.", "Ms.", "Dr.", "Miss", "Prof.", "Mr", "Mrs", "Ms", "Dr", "Sir", "Professor"]
# The slots of presidio-research's templates, in our names.
PRESIDIO = {"credit_card_number": "card", "iban": "iban", "ip_address": "ip", "us_driver_license": "dl", "ssn": "ssn",
            "person": "person", "name": "person", "name_male": "person", "name_female": "person", "first_name": "first",
            "first_name_male": "first", "first_name_female": "first", "first_name_nonbinary": "first",
            "last_name": "last", "last_name_male": "last", "email": "email", "phone_number": "phone",
            "address": "address", "city": "city", "country": "country", "zipcode": "zip", "age": "age",
            "nationality": "nrp", "organization": "org", "job": "job", "prefix_male": "title",
            "prefix_female": "title", "date_time": "date", "date_of_birth": "dob", "year": "year", "url": "url"}


class Filler:
    def __init__(self, seed: int):
        self.random = random.Random(seed)
        Faker.seed(seed)
        self.fakers = {locale: Faker(locale) for locale in LOCALES}

    def fill(self, template: str) -> tuple[str, list[list]]:
        """-> text, [[start, end, label]]"""
        fake = self.fakers[self.random.choice(LOCALES)]
        text, spans = "", []
        for part in re.split(r"(\{\{?[a-z_]+\}?\})", template.replace("\\n", "\n")):
            slot = re.fullmatch(r"\{\{?([a-z_]+)\}?\}", part)
            if not slot:
                text += part
                continue
            name = PRESIDIO.get(slot[1], slot[1])
            value = re.sub(r"\s+", " ", str(getattr(self, name)(fake))).strip()
            start = len(text)
            text += value
            if name in ("first", "last") and spans and spans[-1][1:] == [start - 1, "PERSON"] and text[start - 1] == " ":
                spans[-1][1] = len(text)                          # a first and a last name: one person
            elif name in LABEL:
                spans.append([start, len(text), LABEL[name]])
        shape = self.random.random()
        if shape < 0.12 and len(text.lower()) == len(text):
            text = text.lower()
        elif shape < 0.16 and len(text.upper()) == len(text):
            text = text.upper()
        return text, spans

    def digits(self, pattern: str) -> str:
        return re.sub("#", lambda _: self.random.choice(string.digits), pattern)

    def pick(self, *options):
        return self.random.choice(options)

    def card(self, fake):
        number = fake.credit_card_number()
        if self.random.random() < 0.1:                                    # people mistype: not every card is valid
            number = number[:-1] + self.random.choice(string.digits)
        groups = [4, 6, 5] if len(number) == 15 else [4] * 4
        pieces = [number[sum(groups[:i]):sum(groups[:i + 1])] for i in range(len(groups))]
        return self.pick(number, " ".join(pieces), "-".join(pieces))

    def iban(self, fake):
        value = fake.iban()
        return self.pick(value, " ".join(value[i:i + 4] for i in range(0, len(value), 4)), value.lower())

    def ip(self, fake):
        return self.pick(fake.ipv4(), fake.ipv4_private(), fake.ipv4(), fake.ipv6())

    def dl(self, fake):
        letter = self.random.choice(string.ascii_uppercase)
        return self.digits(self.pick(f"{letter}#######", "########", f"{letter}###-####-####", f"{letter}########",
                                     "#########", f"{letter}{letter}######", f"{letter}### #### ####", "###-##-####A",
                                     f"DL-{letter}#####-##", f"{letter}############"))

    def ssn(self, fake):
        return self.digits(self.pick("###-##-####", "###-##-####", "### ## ####", "#########"))

    def person(self, fake):
        if self.random.random() < 0.04:
            return f"{fake.first_name()} {fake.last_name()} {self.pick('MD', 'DDS', 'Jr.', 'PhD', 'II', 'DVM')}"
        return self.pick(f"{fake.first_name()} {fake.last_name()}", f"{fake.first_name()} {fake.last_name()}",
                         f"{fake.first_name()} {self.random.choice(string.ascii_uppercase)}. {fake.last_name()}")

    def first(self, fake):
        return fake.first_name()

    def last(self, fake):
        return fake.last_name()

    def email(self, fake):
        return self.pick(fake.email(), fake.company_email(), fake.free_email(),
                         self.digits(f"{fake.first_name().lower()}.{fake.last_name().lower()}##@{fake.domain_name()}")
                         .replace(" ", ""))

    def phone(self, fake):
        return self.pick(fake.phone_number(), self.digits("+1 (###) ###-####"), self.digits("###-###-####"),
                         self.digits("(###) ###-####"), self.digits("+44 7### ######"), self.digits("+49 ### #######"),
                         self.digits("0### ### ####"), self.digits("+##########"), self.digits("###.###.####"),
                         self.digits("+33 # ## ## ## ##"), self.digits("### ####"))

    def address(self, fake):
        return self.pick(fake.address(), fake.address(), f"{fake.street_address()}, {fake.city()}")

    def street(self, fake):
        return self.pick(fake.street_address(), fake.street_name())

    def city(self, fake):
        return fake.city()

    def state(self, fake):
        return self.pick(self.fakers["en_US"].state(), self.fakers["en_US"].state_abbr())

    def country(self, fake):
        return self.pick(self.fakers["en_US"].country(), "the US", "Germany", "France", "India", "the UK", "Spain",
                         "Japan", "Canada", "Mexico")

    def zip(self, fake):
        return self.digits(self.pick("#####", "#####", "#####-####"))

    def postcode(self, fake):
        return self.pick(self.fakers["en_GB"].postcode(), fake.postcode(), self.fakers["en_CA"].postcode())

    def age(self, fake):
        return self.random.randint(1, 99)

    def nrp(self, fake):
        return self.random.choice(NRP)

    def org(self, fake):
        coined = "".join(self.random.sample(COINED, self.random.choice([2, 2, 3]))).capitalize()
        plain = " ".join(self.random.sample(PLAIN, self.random.choice([1, 2, 2, 3])))
        return self.pick(fake.company(), self.fakers["en_US"].company(), coined, f"{coined} {self.random.choice(KINDS)}",
                         f"{plain} {self.random.choice(KINDS)}", f"{fake.last_name()} {self.random.choice(KINDS)}",
                         f"University of {fake.city()}", f"{fake.city()} {self.pick('University', 'City Council', 'FC', 'Times')}")

    def job(self, fake):
        return self.fakers["en_US"].job()

    def title(self, fake):
        return self.random.choice(TITLES)

    def date(self, fake):
        day = fake.date_between("-30y", "+2y")
        return self.pick(day.isoformat(), f"{day:%d/%m/%Y}", f"{day:%m/%d/%y}", f"{day:%B} {day.day}, {day.year}",
                         f"{day.day} {day:%B} {day.year}", f"{day:%A}", f"{day:%B} {day.day}", f"{day:%b} {day.day}",
                         "next " + f"{day:%A}")

    def dob(self, fake):
        day = fake.date_of_birth(minimum_age=5, maximum_age=95)
        return self.pick(day.isoformat(), f"{day:%d.%m.%Y}", f"{day:%m/%d/%Y}", f"{day:%B} {day.day}, {day.year}",
                         f"{day.day} {day:%b} {day.year}")

    def year(self, fake):
        return self.random.randint(1920, 2026)

    def domain(self, fake):
        return self.pick(fake.domain_name(), "www." + fake.domain_name())

    def url(self, fake):
        return self.pick(fake.url(), f"https://www.{fake.domain_name()}/", fake.domain_name())

    # Presidio's address pieces, and look-alikes: no label of their own.
    building_number = lambda self, fake: fake.building_number()
    street_name = lambda self, fake: fake.street_name()
    exp = lambda self, fake: self.digits("0#/2#")
    cvv = lambda self, fake: self.digits("###")
    ref = lambda self, fake: self.digits(self.pick("#A##-###", "ORD-#####", "######", "INV-####", "XB-##", "#####-##"))
    amount = lambda self, fake: self.pick("$", "€", "£") + self.digits(self.pick("##.##", "1,###.00", "4##", "2#"))
    num = lambda self, fake: self.random.choice([7, 12, 30, 45, 64, 100, 256, 404, 512, 1024, 5120, 80, 3])
    time = lambda self, fake: self.pick("9am", "14:30", "noon", "3 pm", "08:15", "7:45pm")
    logtime = lambda self, fake: fake.date_time_this_decade().strftime("%d/%b/%Y:%H:%M:%S +0000")
    ver = lambda self, fake: self.digits(self.pick("1.#.#", "2.##", "10.#.#", "0.#.##"))
    hash = lambda self, fake: fake.sha1()[:self.random.choice([7, 10, 40])]
    isbn = lambda self, fake: self.pick(fake.isbn13(), fake.isbn10())
    tracking = lambda self, fake: self.digits(self.pick("1Z###W########", "JD##############", "##############", "SN-########"))
    uuid = lambda self, fake: fake.uuid4()
