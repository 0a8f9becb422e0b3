"""
The two letters of a country (ISO 3166-1) from its English name.

Infobip names countries, SparkPost has their letters.  The names are those that databases of addresses use, with older
and longer forms beside them; a name that is not here has no letters, and the event then has no country.

What must not be known here: whose country it is.
"""

_TABLE = """
AD Andorra|AE United Arab Emirates|AF Afghanistan|AG Antigua and Barbuda|AG Antigua & Barbuda|AI Anguilla|AL Albania
AM Armenia|AO Angola|AQ Antarctica|AR Argentina|AS American Samoa|AT Austria|AU Australia|AW Aruba|AX Åland Islands
AX Aland Islands|AZ Azerbaijan|BA Bosnia and Herzegovina|BA Bosnia & Herzegovina|BB Barbados|BD Bangladesh|BE Belgium
BF Burkina Faso|BG Bulgaria|BH Bahrain|BI Burundi|BJ Benin|BL Saint Barthélemy|BL St. Barthélemy|BM Bermuda|BN Brunei
BN Brunei Darussalam|BO Bolivia|BQ Caribbean Netherlands|BQ Bonaire, Sint Eustatius and Saba|BR Brazil|BS Bahamas
BS The Bahamas|BT Bhutan|BV Bouvet Island|BW Botswana|BY Belarus|BZ Belize|CA Canada|CC Cocos (Keeling) Islands
CD DR Congo|CD Congo - Kinshasa|CD Democratic Republic of the Congo|CD Congo, the Democratic Republic of the
CF Central African Republic|CG Congo|CG Congo - Brazzaville|CG Congo Republic|CG Republic of the Congo|CH Switzerland
CI Côte d'Ivoire|CI Cote d'Ivoire|CI Ivory Coast|CK Cook Islands|CL Chile|CM Cameroon|CN China
CN People's Republic of China|CO Colombia|CR Costa Rica|CU Cuba|CV Cabo Verde|CV Cape Verde|CW Curaçao|CW Curacao
CX Christmas Island|CY Cyprus|CZ Czechia|CZ Czech Republic|DE Germany|DJ Djibouti|DK Denmark|DM Dominica
DO Dominican Republic|DZ Algeria|EC Ecuador|EE Estonia|EG Egypt|EH Western Sahara|ER Eritrea|ES Spain|ET Ethiopia
FI Finland|FJ Fiji|FK Falkland Islands|FM Micronesia|FM Federated States of Micronesia|FO Faroe Islands|FR France
GA Gabon|GB United Kingdom|GB Great Britain|GB United Kingdom of Great Britain and Northern Ireland|GD Grenada
GE Georgia|GF French Guiana|GG Guernsey|GH Ghana|GI Gibraltar|GL Greenland|GM Gambia|GM The Gambia|GN Guinea
GP Guadeloupe|GQ Equatorial Guinea|GR Greece|GS South Georgia and the South Sandwich Islands|GT Guatemala|GU Guam
GW Guinea-Bissau|GY Guyana|HK Hong Kong|HK Hong Kong SAR China|HM Heard and McDonald Islands|HN Honduras|HR Croatia
HT Haiti|HU Hungary|ID Indonesia|IE Ireland|IL Israel|IM Isle of Man|IN India|IO British Indian Ocean Territory|IQ Iraq
IR Iran|IR Islamic Republic of Iran|IR Iran, Islamic Republic of|IS Iceland|IT Italy|JE Jersey|JM Jamaica|JO Jordan
JP Japan|KE Kenya|KG Kyrgyzstan|KH Cambodia|KI Kiribati|KM Comoros|KN Saint Kitts and Nevis|KN St. Kitts & Nevis
KN St Kitts and Nevis|KP North Korea|KR South Korea|KR Republic of Korea|KR Korea, Republic of|KR Korea|KW Kuwait
KY Cayman Islands|KZ Kazakhstan|LA Laos|LA Lao People's Democratic Republic|LB Lebanon|LC Saint Lucia|LC St. Lucia
LI Liechtenstein|LK Sri Lanka|LR Liberia|LS Lesotho|LT Lithuania|LU Luxembourg|LV Latvia|LY Libya|MA Morocco|MC Monaco
MD Moldova|MD Republic of Moldova|MD Moldova, Republic of|ME Montenegro|MF Saint Martin|MF St. Martin|MG Madagascar
MH Marshall Islands|MK North Macedonia|MK Macedonia|ML Mali|MM Myanmar|MM Myanmar (Burma)|MM Burma|MN Mongolia|MO Macao
MO Macau|MO Macao SAR China|MP Northern Mariana Islands|MQ Martinique|MR Mauritania|MS Montserrat|MT Malta|MU Mauritius
MV Maldives|MW Malawi|MX Mexico|MY Malaysia|MZ Mozambique|NA Namibia|NC New Caledonia|NE Niger|NF Norfolk Island
NG Nigeria|NI Nicaragua|NL Netherlands|NL The Netherlands|NO Norway|NP Nepal|NR Nauru|NU Niue|NZ New Zealand|OM Oman
PA Panama|PE Peru|PF French Polynesia|PG Papua New Guinea|PH Philippines|PK Pakistan|PL Poland
PM Saint Pierre and Miquelon|PM St. Pierre & Miquelon|PN Pitcairn Islands|PN Pitcairn|PR Puerto Rico|PS Palestine
PS Palestinian Territory|PS Palestinian Territories|PS State of Palestine|PT Portugal|PW Palau|PY Paraguay|QA Qatar
RE Réunion|RE Reunion|RO Romania|RS Serbia|RU Russia|RU Russian Federation|RW Rwanda|SA Saudi Arabia|SB Solomon Islands
SC Seychelles|SD Sudan|SE Sweden|SG Singapore|SH Saint Helena|SH St. Helena|SI Slovenia|SJ Svalbard and Jan Mayen
SJ Svalbard & Jan Mayen|SK Slovakia|SL Sierra Leone|SM San Marino|SN Senegal|SO Somalia|SR Suriname|SS South Sudan
ST São Tomé and Príncipe|ST São Tomé & Príncipe|ST Sao Tome and Principe|SV El Salvador|SX Sint Maarten|SY Syria
SY Syrian Arab Republic|SZ Eswatini|SZ Swaziland|TC Turks and Caicos Islands|TC Turks & Caicos Islands|TD Chad
TF French Southern Territories|TG Togo|TH Thailand|TJ Tajikistan|TK Tokelau|TL Timor-Leste|TL East Timor
TM Turkmenistan|TN Tunisia|TO Tonga|TR Türkiye|TR Turkey|TR Turkiye|TT Trinidad and Tobago|TT Trinidad & Tobago
TV Tuvalu|TW Taiwan|TW Taiwan, Province of China|TZ Tanzania|TZ United Republic of Tanzania
TZ Tanzania, United Republic of|UA Ukraine|UG Uganda|UM U.S. Outlying Islands|US United States
US United States of America|US USA|UY Uruguay|UZ Uzbekistan|VA Vatican City|VA Holy See
VC Saint Vincent and the Grenadines|VC St. Vincent & Grenadines|VE Venezuela|VE Bolivarian Republic of Venezuela
VG British Virgin Islands|VI U.S. Virgin Islands|VN Vietnam|VN Viet Nam|VU Vanuatu|WF Wallis and Futuna
WF Wallis & Futuna|WS Samoa|XK Kosovo|YE Yemen|YT Mayotte|ZA South Africa|ZM Zambia|ZW Zimbabwe
"""

_LETTERS = {entry[3:].lower(): entry[:2] for line in _TABLE.split("\n") if line for entry in line.split("|")}
_KNOWN = frozenset(_LETTERS.values())


def letters(country: str) -> str:
    """Return the letters of a country by its name, or by the letters themselves; empty where it is none."""
    name = country.strip().replace("\u2019", "'")
    return name.upper() if name.upper() in _KNOWN else _LETTERS.get(name.lower(), "")
