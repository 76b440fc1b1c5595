"""What things are called in the demo: people, places, departments, devices. Lists only."""

FIRST_NAMES = (
    "Alice", "Anke", "Anton", "Astrid", "Aylin", "Ben", "Birgit", "Bruno", "Carla", "Chiara", "Clemens",
    "Dana", "David", "Derya", "Dirk", "Ebru", "Elias", "Emma", "Enno", "Esther", "Felix", "Fiona", "Finn",
    "Frieda", "Georg", "Greta", "Hakan", "Hanna", "Henrik", "Ida", "Ingo", "Iris", "Jakob", "Jana", "Jens",
    "Joris", "Julia", "Kai", "Karla", "Katrin", "Lars", "Lea", "Leonie", "Levin", "Lina", "Lukas", "Malte",
    "Mara", "Marek", "Merle", "Mia", "Milan", "Nadia", "Nele", "Nils", "Nora", "Ole", "Paula", "Pavel",
    "Petra", "Quirin", "Ralf", "Rieke", "Robin", "Rosa", "Samira", "Selma", "Simon", "Sina", "Sven", "Tamara",
    "Tarek", "Thea", "Tilo", "Tomke", "Uwe", "Vera", "Viktor", "Wiebke", "Yara",
)  # fmt: skip

LAST_NAMES = (
    "Ahrens", "Albers", "Asmussen", "Bartels", "Becker", "Behrens", "Bischoff", "Bohn", "Brandes", "Bruhn",
    "Carstens", "Clausen", "Dahl", "Demir", "Diercks", "Dreyer", "Ebeling", "Eggers", "Ehlers", "Fischer",
    "Franke", "Freese", "Gerdes", "Goldmann", "Graf", "Haack", "Hansen", "Harms", "Heinrich", "Hinrichs",
    "Hoffmann", "Ivanova", "Jacobi", "Jansen", "Jepsen", "Kaya", "Keller", "Klein", "Kowalski", "Krause",
    "Kuhn", "Lange", "Lorenz", "Lund", "Maier", "Martens", "Meyer", "Moller", "Nagel", "Neumann", "Nowak",
    "Oltmann", "Otto", "Paulsen", "Peters", "Petersen", "Popp", "Quast", "Rademacher", "Reimers", "Richter",
    "Rohde", "Sahin", "Sander", "Schmidt", "Schröder", "Seidel", "Simonsen", "Stahl", "Steffens", "Thomsen",
    "Tiedemann", "Ulrich", "Vogt", "Wagner", "Weber", "Wendt", "Winter", "Yilmaz", "Zander",
)  # fmt: skip

CITIES = (
    "Hamburg", "Bremen", "Kiel", "Lübeck", "Rostock", "Berlin", "Leipzig", "Hannover", "Kassel", "Köln",
    "Essen", "Mainz", "Frankfurt", "Mannheim", "Stuttgart", "Ulm", "Augsburg", "München", "Nürnberg",
    "Regensburg",
)  # fmt: skip

GROUPS = (
    "Early shift",
    "Late shift",
    "Site vehicles",
    "Tablets",
    "Sensors",
    "Team North",
    "Team South",
    "On call",
)

#: Divisions of the three enterprises, each with its departments.
MERIDIAN_DIVISIONS = {
    "Production": ("Assembly", "Foundry", "Quality", "Maintenance", "Tooling"),
    "Logistics": ("Inbound", "Warehousing", "Fleet", "Customs"),
    "Sales": ("Key accounts", "Region North", "Region South", "Export", "Showrooms"),
    "Field Service": ("Installation", "Repairs", "Spare parts", "Hotline"),
    "Research": ("Materials", "Electronics", "Software", "Test track"),
    "Administration": ("Board", "Finance", "People", "IT", "Legal"),
}
HANSE_DIVISIONS = {
    "Road": ("Long haul", "City", "Workshops"),
    "Harbour": ("Terminals", "Forwarding"),
    "Office": ("Dispatch", "Accounts"),
}
BRANDT_DIVISIONS = {"Workshop": (), "Sites": (), "Office": ()}

#: Device models by profile of the line.
PHONES = ("Galaxy A56", "Galaxy S25", "iPhone 16", "iPhone 17", "Pixel 9a", "Fairphone 6", "Galaxy XCover 7")
TABLETS = ("iPad (11th)", "Galaxy Tab Active5", "Galaxy Tab S10")
MACHINES = ("Teltonika TRB245", "Sierra RX55", "Bosch XDK2", "Quectel EG25 kit")
ROUTERS = ("Teltonika RUTX50", "Cradlepoint R920", "Sierra XR60")
