"""The justifiability questions of the World Values Survey and what each of them asks about."""

TOPICS = {
    "Q176": "claiming government benefits you're not entitled to",
    "Q177": "avoiding fare on public transport",
    "Q178": "cheating on taxes",
    "Q179": "accepting a bribe",
    "Q180": "homosexuality",
    "Q181": "prostitution",
    "Q182": "abortion",
    "Q183": "divorce",
    "Q184": "sex before marriage",
    "Q185": "suicide",
    "Q186": "euthanasia",
    "Q187": "violence against other people",
    "Q188": "men beating their wives",
}
