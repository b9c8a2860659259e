//! Names of columns in several languages: English, German, French, Spanish, Italian, Portuguese, Dutch, Polish and some Nordic ones.
//! They stand here in small letters, without accents, and without what stands between their words.

use super::class::{Class, Confidence};
use Class::{
    BirthDate, Card, City, Company, Device, Email, FirstName, FreeText, FullName, Iban, Ip,
    LastName, Location, Mac, NationalNumber, Phone, Picture, Postcode, Secret, Street, Trait, Url,
    Username,
};
use Confidence::{Likely, Possible};

/// Words, with what columns look like that are called so.
pub(super) const NAMES: &[(Class, Confidence, &str)] = &[
    (
        Email,
        Likely,
        "email emailaddress mailaddress emails useremail mailbox recipient recipients replyto fromaddress \
         toaddress cc bcc emailadresse mailadresse adressemail adresseemail courriel correo correoelectronico \
         correoe emailcorreo indirizzoemail postaelettronica pec correioeletronico enderecoemail emailadres \
         adresemail epost epostadresse sahkoposti poczta",
    ),
    (Email, Possible, "mail sender to from"),
    (
        Phone,
        Likely,
        "phone phones telephone phonenumber telephonenumber mobile mobilephone mobilenumber cellphone landline \
         fax faxnumber msisdn whatsapp telefon telefonnummer telefonnr handy handynummer mobilnummer rufnummer \
         festnetz telnr numerotelephone telefono movil celular numerotelefono cellulare telefone telemovel \
         telefoon telefoonnummer mobiel telefonu numertelefonu komorka telefonnumber puhelin puhelinnumero mobil",
    ),
    (Phone, Possible, "portable cell tel"),
    (
        Iban,
        Likely,
        "iban bankaccount bankaccountnumber accountnumber accountno routingnumber sortcode kontonummer kontonr \
         bankverbindung comptebancaire numerocompte cuentabancaria numerocuenta contobancario numeroconto \
         contabancaria numeroconta rekeningnummer bankrekening numerkonta numerrachunku clabe",
    ),
    (Iban, Possible, "rib nib bic swift blz"),
    (
        Card,
        Likely,
        "cardnumber creditcard creditcardnumber ccnumber ccnum debitcard kreditkarte kreditkartennummer \
         kartennummer cartebancaire numerocarte tarjeta tarjetacredito numerotarjeta cartadicredito numerocarta \
         cartaocredito numerocartao creditcardnummer kaartnummer numerkarty cardholder",
    ),
    (Card, Possible, "pan cardlast4 last4 cardlastfour"),
    (
        Ip,
        Likely,
        "ip ipaddress ipaddr remoteip clientip remoteaddr lastip ipadresse adresseip direccionip indirizzoip \
         enderecoip ipadres adresip signinip xforwardedfor",
    ),
    (Mac, Likely, "mac macaddress macaddr hwaddr macadresse"),
    (
        Postcode,
        Likely,
        "postcode postalcode zip zipcode plz postleitzahl codepostal codigopostal codicepostale kodpocztowy \
         postnummer postinumero eircode",
    ),
    (Postcode, Possible, "cap cp cep"),
    (
        NationalNumber,
        Likely,
        "ssn socialsecurity socialsecuritynumber nino nationalinsurance nationalinsurancenumber nationalid \
         nationalidnumber personalid nationalnumber nhsnumber nhsno passport passportnumber passportno idcard \
         idcardnumber driverslicense driverlicense drivinglicence licencenumber taxid taxnumber steuerid \
         steuernummer steueridentifikationsnummer sozialversicherungsnummer svnummer svnr \
         rentenversicherungsnummer ausweisnummer personalausweis reisepass fuehrerschein \
         krankenversicherungsnummer ahvnummer nir numerosecuritesociale securitesociale numerosecu passeport \
         permisconduire numerofiscal dni nif pasaporte seguridadsocial numeroseguridadsocial codicefiscale \
         partitaiva passaporto cpf contribuinte bsn burgerservicenummer paspoort paspoortnummer rijbewijs pesel \
         numerdowodu dowodosobisty paszport personnummer cpr cprnummer hetu henkilotunnus aadhaar curp \
         licenseplate numberplate kennzeichen socialinsurancenumber insurancenumber patientid mrn",
    ),
    (
        NationalNumber,
        Possible,
        "cf rg nis pis tin sin vin nip nie rfc cnh patente",
    ),
    (
        FirstName,
        Likely,
        "firstname fname givenname givennames forename forenames middlename middlenames vorname vornamen rufname \
         prenom prenoms nombredepila primernombre nombres nome1 primeironome voornaam voornamen imie imiona \
         fornavn fornamn etunimi nickname spitzname",
    ),
    (
        LastName,
        Likely,
        "lastname lname surname familyname maidenname mothersmaidenname nachname familienname zuname geburtsname \
         nomdefamille nomfamille apellido apellidos primerapellido segundoapellido cognome sobrenome apelido \
         ultimonome achternaam nazwisko etternavn efternamn sukunimi",
    ),
    (
        FullName,
        Likely,
        "fullname personname displayname realname legalname contactname customername clientname employeename \
         authorname ownername holdername accountholder cardholdername recipientname sendername billingname \
         shippingname patientname beneficiary signatory kundenname ansprechpartner kontoinhaber vollername \
         nomcomplet nomprenom nomclient titulairecompte nombrecompleto nombreapellidos nombrecliente titular \
         nomecompleto nomecognome intestatario nomecliente volledigenaam klantnaam tenaamstelling imienazwisko \
         imieinazwisko fulltnavn kokonimi contactperson nextofkin emergencycontact createdbyname",
    ),
    (
        Username,
        Likely,
        "username userlogin login loginname screenname userhandle benutzername anmeldename nomutilisateur \
         identifiant nombreusuario nomeutente nomeusuario nomeutilizador gebruikersnaam nazwauzytkownika \
         brukernavn anvandarnamn kayttajatunnus twitterhandle twitter skype telegram",
    ),
    (
        Username,
        Possible,
        "handle nick author owner usuario utente benutzer",
    ),
    (
        Street,
        Likely,
        "street streetaddress street1 street2 streetname addressline addressline1 addressline2 address1 address2 \
         housenumber houseno postaladdress homeaddress billingaddress shippingaddress mailingaddress \
         deliveryaddress strasse strassehausnummer hausnummer hausnr anschrift adresse wohnadresse lieferadresse \
         rechnungsadresse rue adressepostale adresselivraison calle direccion domicilio indirizzo endereco rua \
         logradouro morada straat straatnaam huisnummer adres ulica nrdomu adreszamieszkania gateadresse \
         gatuadress katuosoite address",
    ),
    (Street, Possible, "via gate"),
    (
        City,
        Possible,
        "city town birthplace placeofbirth hometown stadt ort wohnort geburtsort ville commune lieunaissance \
         lieudenaissance ciudad localidad municipio lugarnacimiento citta comune luogonascita luogodinascita \
         cidade naturalidade stad woonplaats plaats geboorteplaats miasto miejscowosc miejsceurodzenia sted \
         kaupunki",
    ),
    (
        Company,
        Possible,
        "company companyname employer organisationname organizationname firma firmenname arbeitgeber entreprise \
         societe raisonsociale employeur empresa razonsocial azienda ragionesociale bedrijf bedrijfsnaam \
         werkgever nazwafirmy pracodawca",
    ),
    (
        BirthDate,
        Likely,
        "birthdate birthday dob dateofbirth birth born bornon birthyear yearofbirth deathdate dateofdeath \
         geburtsdatum geburtstag geboren geburtsjahr todesdatum datenaissance datedenaissance naissance \
         anneenaissance fechanacimiento fechadenacimiento nacimiento datanascita datadinascita datanascimento \
         datadenascimento nascimento geboortedatum geboortejaar dataurodzenia rokurodzenia fodselsdato \
         fodelsedatum syntymaaika",
    ),
    (BirthDate, Possible, "age edad idade leeftijd wiek"),
    (
        Location,
        Likely,
        "latitude longitude lat lng lon latlng geolocation gps gpsposition coordinates koordinaten breitengrad \
         laengengrad",
    ),
    (
        Url,
        Possible,
        "website homepage blog linkedin facebook instagram profileurl webseite siteweb sitioweb sitoweb",
    ),
    (
        Trait,
        Likely,
        "gender sex religion ethnicity race nationality citizenship maritalstatus sexualorientation disability \
         diagnosis bloodtype bloodgroup medicalhistory allergies salary income wage politicalparty \
         unionmembership criminalrecord geschlecht konfession staatsangehoerigkeit familienstand behinderung \
         diagnose gehalt einkommen blutgruppe sexe nationalite situationfamiliale salaire handicap sexo \
         nacionalidad estadocivil salario religione nazionalita statocivile stipendio nacionalidade geslacht \
         nationaliteit burgerlijkestaat salaris narodowosc stancywilny wynagrodzenie kjonn sukupuoli",
    ),
    (
        Trait,
        Possible,
        "plec kon genero anrede salutation honorific civilite",
    ),
    (
        Picture,
        Likely,
        "avatar photo profilepicture profileimage selfie signature fingerprint biometric faceid unterschrift \
         passbild foto firmadigital handtekening zdjecie",
    ),
    (
        Device,
        Likely,
        "useragent deviceid deviceuuid imei imsi iccid idfa advertisingid androidid browserfingerprint visitorid \
         cookieid gaclientid",
    ),
    (Device, Possible, "serialnumber hostname referer referrer"),
    (
        Secret,
        Likely,
        "password passwd pwd passphrase passwordhash passwordsalt hashedpassword encryptedpassword \
         passworddigest passwordencrypted cryptedpassword secret secrets clientsecret secretkey sharedsecret \
         apikey apikeys apitoken apisecret token tokens accesstoken refreshtoken authtoken sessiontoken \
         bearertoken csrftoken resettoken resetpasswordtoken confirmationtoken invitationtoken unlocktoken \
         remembertoken rememberme sessionid sessionkey privatekey encryptionkey signingkey masterkey accesskey \
         accesskeyid sshkey pgpkey gpgkey ciphertext encrypted salt otp otpsecret totp totpsecret mfasecret \
         twofactorsecret recoverycodes backupcodes pin pincode cvv cvc cvv2 securityanswer secretanswer \
         credential credentials webhooksecret connectionstring dsn htpasswd passwort kennwort passworthash \
         geheimnis schluessel zugangsdaten motdepasse mdp secretpartage jeton contrasena clavesecreta \
         claveprivada parola parolachiave chiavesegreta chiaveprivata senha palavrapasse chavesecreta \
         chaveprivada wachtwoord geheim sleutel haslo klucztajny kluczprywatny passord losenord salasana",
    ),
    (Secret, Possible, "ficha clave nonce"),
    (
        FreeText,
        Possible,
        "note notes comment comments remark remarks message messagebody body feedback biography bio aboutme \
         complaint bemerkung bemerkungen notiz notizen nachricht kommentar anmerkung remarque remarques \
         commentaire commentaires observations nota notas comentario comentarios observaciones mensaje messaggio \
         commento commenti osservazioni mensagem observacoes opmerking opmerkingen bericht uwagi wiadomosc \
         komentarz notatka merknad viesti",
    ),
];

/// Words that are names of people where the table is one of people.
pub(super) const NAME_OF: &str = "name names nom nombre nome naam nazwa navn namn nimi";

/// Words that tables of people are called by.
pub(super) const PEOPLE: &str = "user users customer customers client clients person persons people employee employees staff author authors \
    member members contact contacts patient patients student students teacher teachers driver drivers guest \
    guests subscriber subscribers applicant applicants candidate candidates owner owners signatory signatories \
    attendee attendees participant participants recipient recipients tenant profile profiles account accounts \
    respondent respondents voter voters nutzer benutzer kunde kunden mitarbeiter personen mitglied mitglieder \
    patienten teilnehmer ansprechpartner utilisateur utilisateurs personne personnes employes membres abonnes \
    usuario usuarios cliente clientes persona personas empleado empleados miembros pacientes utente utenti \
    clienti persone dipendenti soci pazienti pessoa pessoas funcionarios membros gebruiker gebruikers klant \
    klanten personeel medewerkers leden uzytkownik uzytkownicy klient klienci osoba osoby pracownicy czlonkowie \
    brukere kunder asiakkaat";

/// What follows a word and makes another thing of it: `email_count`, `password_changed_at`.
pub(super) const NEGATING_AFTER: &str = "count counts type types status state enabled disabled verified confirmed format template id ids kind at on \
    flag length size limit version provider required valid visible sent expires expiry expiration changed \
    updated created attempts policy category column field label position order anzahl typ art nummerntyp nombre1 \
    aantal liczba opt optin used preference preferences frequency";

/// What precedes a word and makes another thing of it: `has_email`.
pub(super) const NEGATING_BEFORE: &str = "has is num count total max min allow allows enable show send needs require requires can anzahl hat ist uses \
    use supports default";

/// What comments say of columns that are personal.
pub(super) const MARKS: &[&str] = &[
    "pii",
    "personal data",
    "personally identifiable",
    "gdpr",
    "dsgvo",
    "personenbezogen",
    "donnees personnelles",
    "donnees a caractere personnel",
    "rgpd",
    "datos personales",
    "dati personali",
    "dados pessoais",
    "lgpd",
    "persoonsgegevens",
    "avg-gevoelig",
    "dane osobowe",
    "rodo",
    "confidential",
    "sensitive data",
    "vertraulich",
];

/// Words that streets are called by.
pub(super) const STREETS: &str = "street road avenue lane drive boulevard terrace crescent close court highway ave rd blvd rue allee impasse \
    calle avenida plaza paseo via viale piazza corso rua travessa praca ulica ul aleja al weg platz gasse str";

/// What names of streets end with.
pub(super) const STREET_ENDINGS: &str =
    "strasse straße str straat gasse weg platz allee laan plein gracht gata gatan vej veien";

/// Ends of compound words, as German, Dutch and the Nordic languages make them.
pub(super) const ENDINGS: &[(&str, Class)] = &[
    ("vorname", FirstName),
    ("nachname", LastName),
    ("familienname", LastName),
    ("passwort", Secret),
    ("kennwort", Secret),
    ("password", Secret),
    ("wachtwoord", Secret),
    ("strasse", Street),
    ("adresse", Street),
    ("anschrift", Street),
    ("telefon", Phone),
    ("telefonnummer", Phone),
    ("telefoon", Phone),
    ("telefoonnummer", Phone),
    ("handynummer", Phone),
    ("emailadresse", Email),
    ("email", Email),
    ("mailadresse", Email),
    ("geburtsdatum", BirthDate),
    ("geboortedatum", BirthDate),
    ("postleitzahl", Postcode),
    ("kontonummer", Iban),
    ("ausweisnummer", NationalNumber),
    ("achternaam", LastName),
    ("voornaam", FirstName),
    ("token", Secret),
    ("secret", Secret),
    ("apikey", Secret),
];

/// Whether a list of words has this one.
pub(super) fn has(list: &str, word: &str) -> bool {
    list.split_ascii_whitespace().any(|known| known == word)
}
