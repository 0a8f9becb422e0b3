# ruby [-I FOLDER-OF-MAIL/lib] ruby_mail.rb WISHES.JSON, with $SINK_PORT set by record.py.
require "json"
require "mail"

def send_mail(name, value)
  mail = Mail.new(from: "News <news@sender.example>", to: "#{name}@case.example", subject: "Corpus", body: "Hello.\n")
  mail.charset = "UTF-8"
  mail.date = DateTime.new(2026, 11, 20, 6)
  mail.message_id = "<#{name}@sender.example>"
  mail.header["X-MSYS-API"] = value
  mail.delivery_method :smtp, address: "127.0.0.1", port: ENV["SINK_PORT"].to_i, domain: "app.example",
                              enable_starttls_auto: false
  mail.deliver!
end

JSON.parse(File.read(ARGV[0], encoding: "UTF-8")).each do |name, wish|
  send_mail(name, wish.to_json)
  send_mail("#{name}-spaced", JSON.generate(wish, space: " ", object_nl: " ", array_nl: " ")) if name == "ascii-long"
end
